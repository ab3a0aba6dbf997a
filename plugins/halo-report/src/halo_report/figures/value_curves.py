"""Figure 4: the value functions that losses assume people have, and their slopes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from halo_report.figures.colours import SERIES
from halo_report.figures.plot import INK, Plot
from halo_report.values.declared import ImpliedValue
from halo_report.values.sampled import SampledValue
from halo_report.values.yardsticks import yardsticks

SPAN = 4.0
"""Largest gain of a figure, in reward units."""
DASHES = ("-", "--", "-.", ":")
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
    declared = {v.label: s for v in values if (s := v.sampled(span)) is not None}
    if not declared:
        return None
    known = {v.label: s for v in yardsticks(values) if (s := v.sampled(span)) is not None}

    def paint(figure: Figure) -> None:
        left, right = figure.subplots(1, 2)
        for axes in (left, right):
            axes.axvline(0, color="#888888", linewidth=0.8)
            axes.set_xlim(-span, span)
            axes.set_xlabel("gain: reward less reference point")
        _value_axes(left, declared, known)
        _slope_axes(right, declared, known)
        handles, labels = left.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=min(4, len(labels)))

    rows = -(-(len(declared) + len(known)) // 4)
    return Plot(
        "value-functions",
        "What the losses assume about people: value (left) and sensitivity, the size of its slope "
        "(right)",
        paint,
        width=8.0,
        height=3.4 + 0.22 * rows,
    )


def _value_axes(
    axes: Axes, declared: dict[str, SampledValue], known: dict[str, SampledValue]
) -> None:
    axes.axhline(0, color="#888888", linewidth=0.8)
    for place, (label, value) in enumerate(known.items()):
        _line(axes, value.gains, value.values, label, _yardstick_look(place))
    for place, (label, value) in enumerate(declared.items()):
        _line(axes, value.gains, value.values, label, _look(place))
    axes.set_ylabel("value")


def _slope_axes(
    axes: Axes, declared: dict[str, SampledValue], known: dict[str, SampledValue]
) -> None:
    for place, (label, value) in enumerate(known.items()):
        _line(axes, *_slopes(value), label, _yardstick_look(place))
    for place, (label, value) in enumerate(declared.items()):
        _line(axes, *_slopes(value), label, _look(place))
    axes.set_ylim(0, max(_STEEP, 1.05 * max(value.steepest for value in declared.values())))
    axes.set_ylabel("size of the slope")


def _line(
    axes: Axes, gains: Sequence[float], heights: Sequence[float], label: str, look: dict[str, Any]
) -> None:
    axes.plot(gains, heights, label=label, **look)


def _slopes(value: SampledValue) -> tuple[list[float], list[float]]:
    middles = [gain + value.step / 2 for gain in value.gains[:-1]]
    return middles, [abs(slope) for slope in value.slopes]


def _yardstick_look(place: int) -> dict[str, Any]:
    return {"color": INK, "linewidth": 2.4, "alpha": 0.45, "linestyle": ("-", ":")[place]}


def _look(place: int) -> dict[str, Any]:
    return {
        "color": SERIES[place % len(SERIES)],
        "linestyle": DASHES[place // len(SERIES) % len(DASHES)],
        "linewidth": 1.6,
    }
