"""Figure 4: the value functions that losses assume people have, and their slopes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from halo_report.figures.colours import SERIES
from halo_report.figures.plot import HEIGHT, INK, WIDTH, Plot
from halo_report.values.declared import ImpliedValue
from halo_report.values.sampled import SampledValue
from halo_report.values.yardsticks import yardsticks

SPAN = 4.0
"""Largest gain of a figure, in reward units."""
DASHES = ("-", "--", "-.", ":")
DASH = 4.0
"""Length of a dash, in line widths, where functions lie on each other."""
SAME = 0.01
"""Largest difference of two functions that lie on each other, as a share of the largest value."""
_STEEP = 2.6
"""Upper end of the axis of slopes. The slope of the yardstick grows without bound."""


def value_figure(values: Sequence[ImpliedValue], *, span: float = SPAN) -> Plot | None:
    """Returns the figure of value functions and the yardstick; None without value functions.

    Args:
        values: The losses' values. Losses that declare no value function are left out.
        span: Largest gain to show.

    Raises:
        PluginError: When a declared function raises or returns no number.
    """
    drawn = _drawn(values, span)
    if drawn is None:
        return None

    def paint(figure: Figure) -> None:
        left, right = figure.subplots(1, 2)
        _value_axes(left, drawn, span)
        _slope_axes(right, drawn, span)
        handles, labels = left.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=min(4, len(labels)))

    rows = -(-len(drawn.lines) // 4)
    caption = (
        "What the losses assume about people: value (left) and sensitivity, the size of its slope "
        "(right)"
    )
    return Plot("value-functions", caption + drawn.note, paint, width=8.0, height=3.4 + 0.22 * rows)


def value_plots(values: Sequence[ImpliedValue], *, span: float = SPAN) -> list[Plot]:
    """Returns the panels of value functions and their slopes for a page; empty without functions.

    Args:
        values: The losses' values. Losses that declare no value function are left out.
        span: Largest gain to show.

    Raises:
        PluginError: When a declared function raises or returns no number.
    """
    drawn = _drawn(values, span)
    if drawn is None:
        return []

    def panel(name: str, caption: str, draw: Callable[[Axes, _Drawn, float], None]) -> Plot:
        def paint(figure: Figure) -> None:
            axes = figure.subplots()
            draw(axes, drawn, span)
            figure.legend(loc="outside lower center", ncols=2)

        height = HEIGHT + 0.3 + 0.2 * -(-len(drawn.lines) // 2)
        return Plot(name, caption + drawn.note, paint, WIDTH, height)

    return [
        panel("value-functions", "Value of a gain", _value_axes),
        panel("value-slopes", "Sensitivity: the size of the slope", _slope_axes),
    ]


@dataclass(frozen=True)
class _Drawn:
    """The functions of a figure.

    Attributes:
        lines: Function and look of each line by label; yardsticks come first.
        steepest: The largest slope of a declared function.
        note: A sentence about functions that lie on each other, or "".
    """

    lines: Mapping[str, tuple[SampledValue, dict[str, Any]]]
    steepest: float
    note: str


def _drawn(values: Sequence[ImpliedValue], span: float) -> _Drawn | None:
    declared = {v.label: s for v in values if (s := v.sampled(span)) is not None}
    if not declared:
        return None
    known = {v.label: s for v in yardsticks(values) if (s := v.sampled(span)) is not None}
    lines = {label: (s, _yardstick_look(i)) for i, (label, s) in enumerate(known.items())}
    groups = same_functions(declared)
    for place, (label, value) in enumerate(declared.items()):
        group = next(group for group in groups if label in group)
        lines[label] = (value, _look(place, group.index(label), len(group)))
    same = [" = ".join(group) for group in groups if len(group) > 1]
    note = f". On each other, with alternating dashes: {'; '.join(same)}" if same else ""
    return _Drawn(lines, max(value.steepest for value in declared.values()), note)


def same_functions(values: Mapping[str, SampledValue]) -> list[list[str]]:
    """Returns the labels in groups of functions that lie on each other in a figure.

    Args:
        values: The functions by label, on the same grid.
    """
    heights = [abs(height) for value in values.values() for height in value.values]
    near = SAME * max(heights, default=0.0)
    groups: list[list[str]] = []
    for label, value in values.items():
        for group in groups:
            first = values[group[0]]
            pairs = zip(first.values, value.values, strict=True)
            if all(abs(a - b) <= near for a, b in pairs):
                group.append(label)
                break
        else:
            groups.append([label])
    return groups


def _frame(axes: Axes, span: float) -> None:
    axes.axvline(0, color="#888888", linewidth=0.8)
    axes.set_xlim(-span, span)
    axes.set_xlabel("gain: reward less reference point")


def _value_axes(axes: Axes, drawn: _Drawn, span: float) -> None:
    _frame(axes, span)
    axes.axhline(0, color="#888888", linewidth=0.8)
    for label, (value, look) in drawn.lines.items():
        axes.plot(value.gains, value.values, label=label, **look)
    axes.set_ylabel("value")


def _slope_axes(axes: Axes, drawn: _Drawn, span: float) -> None:
    _frame(axes, span)
    for label, (value, look) in drawn.lines.items():
        middles = [gain + value.step / 2 for gain in value.gains[:-1]]
        axes.plot(middles, [abs(slope) for slope in value.slopes], label=label, **look)
    axes.set_ylim(0, max(_STEEP, 1.05 * drawn.steepest))
    axes.set_ylabel("size of the slope")


def _yardstick_look(place: int) -> dict[str, Any]:
    return {"color": INK, "linewidth": 2.4, "alpha": 0.45, "linestyle": ("-", ":")[place]}


def _look(place: int, rank: int, of: int) -> dict[str, Any]:
    """Returns the look of a line.

    Args:
        place: Place of the function among all functions.
        rank: Its place among the functions that lie on each other.
        of: Number of the functions that lie on each other.
    """
    # Of functions that lie on each other, each one is drawn where the others have gaps.
    dashes: Any = DASHES[place // len(SERIES) % len(DASHES)]
    if of > 1:
        dashes = (DASH * rank, (DASH, DASH * (of - 1)))
    return {"color": SERIES[place % len(SERIES)], "linestyle": dashes, "linewidth": 1.6}
