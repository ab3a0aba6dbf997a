"""Learning curves over the steps, for one stage or for several methods side by side."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from halo_report.figures.colours import BLUE, MEANINGS, SERIES, VERMILION, series_colours
from halo_report.figures.plot import HEIGHT, INK, LEGEND, WIDTH, Plot, on_axes
from halo_report.read.cell_matrix import CellMatrix
from halo_report.read.run_data import Curve, StageData

FEW = 30
"""Largest number of points of a curve at which the points are marked."""

KL, REFERENCE_POINT = "policy/kl", "policy/reference_point"
USED = "reference point"
CLIPPED = 1e-6
"""Smallest difference of reference point and estimate that counts as clipped, in nats."""
NATS = frozenset({"sft", "dpo"})
"""Losses whose unit is nats, because they are negative log-probabilities."""
PANEL_WIDTH = 3.3
"""Width of a method's panel, in inches."""
POINTS = 300
"""Approximate number of points to which longer curves are reduced."""
PANELS: Mapping[str, Sequence[str]] = {
    "loss": ("train/loss",),
    "implied reward": (
        "rewards/desirable",
        "rewards/chosen",
        "rewards/undesirable",
        "rewards/rejected",
    ),
    "reference point (nats)": ("policy/reference_point",),
}
"""The metrics of each panel, by the label of its y axis."""
LOSING = ("rewards/undesirable", "rewards/rejected")
"""Metrics that are drawn with dashed lines."""


def curve_figures(stage: StageData) -> list[Plot]:
    """Returns the figures of the metrics that a stage logged over its steps."""
    figures = (loss_figure(stage), rewards_figure(stage), kl_figure(stage))
    return [figure for figure in figures if figure]


def loss_figure(stage: StageData) -> Plot | None:
    """Returns the figure of the training and evaluation loss, or None without a loss."""
    unit = " (nats)" if stage.loss in NATS else ""
    names = {"train/loss": "train"}
    for name in stage.curves:
        if name.startswith("eval/") and name.endswith("/loss"):
            names[name] = name.removesuffix("/loss").removeprefix("eval/")
    return _figure(stage, "loss", _pick(stage, names), f"{stage.loss} loss{unit}".strip())


def rewards_figure(stage: StageData) -> Plot | None:
    """Returns the figure of the rewards of both sides, or None without rewards."""
    sides = ("desirable", "undesirable", "chosen", "rejected")
    curves = _pick(stage, {f"rewards/{side}": side for side in sides})
    return _figure(
        stage, "rewards", curves, "implied reward (beta x nats)", "implied rewards", zero=True
    )


def kl_figure(stage: StageData) -> Plot | None:
    """Returns the figure of the estimate of the KL, with what was clipped at 0; None without it.

    A point is the mean of several steps, of which some may be clipped. So the filled area is the
    difference between the reference point and the estimate, above and below 0.
    """
    estimate, used = stage.curves.get(KL), stage.curves.get(REFERENCE_POINT)
    if not estimate or not used:
        curves = _pick(stage, {KL: "KL estimate", REFERENCE_POINT: "reference point"})
        return _figure(stage, "reference point", curves, "reference point (nats)", zero=True)
    shared = [step for step in estimate if step in used]
    clipped = sum(used[step] - estimate[step] > CLIPPED for step in shared)

    def paint(axes: Axes) -> None:
        axes.axhline(0, color="#888888", linewidth=0.8)
        both = list(thin_curve(dict.fromkeys(shared, 0.0)))
        axes.fill_between(
            both,
            [estimate[step] for step in both],
            [used[step] for step in both],
            color=VERMILION,
            alpha=0.35,
            linewidth=0,
            label="clipped at 0",
        )
        line, dashed = thin_curve(estimate), thin_curve(used)
        axes.plot(list(dashed), list(dashed.values()), "--", color=INK, linewidth=1.1, label=USED)
        axes.plot(list(line), list(line.values()), color=BLUE, linewidth=1.4, label="estimate")
        axes.set_xlabel("optimiser step")
        axes.set_ylabel("KL estimate (nats)")
        axes.figure.legend(loc="outside lower center", ncols=3)

    caption = f"{stage.id}: KL estimate, clipped at 0 in {clipped} of {len(shared)} points"
    caption += thinned_text([estimate])
    return Plot(f"{stage.id} kl", caption, on_axes(paint), WIDTH, HEIGHT + LEGEND)


def _pick(stage: StageData, names: Mapping[str, str]) -> dict[str, Curve]:
    return {label: stage.curves[name] for name, label in names.items() if name in stage.curves}


def _figure(
    stage: StageData,
    name: str,
    curves: Mapping[str, Curve],
    unit: str,
    caption: str = "",
    *,
    zero: bool = False,
) -> Plot | None:
    if not curves:
        return None

    def paint(axes: Axes) -> None:
        if zero:
            axes.axhline(0, color="#888888", linewidth=0.8)
        for (label, whole), colour in zip(curves.items(), SERIES * len(curves), strict=False):
            curve = thin_curve(whole)
            axes.plot(
                list(curve),
                list(curve.values()),
                color=MEANINGS.get(label, colour),
                linewidth=1.4,
                marker="o" if len(curve) <= FEW else None,
                markersize=3,
                label=label,
            )
        axes.set_xlabel("optimiser step")
        axes.set_ylabel(unit)
        if len(curves) > 1:
            axes.figure.legend(loc="outside lower center", ncols=3)

    caption = f"{stage.id}: {caption or name}{thinned_text(curves.values())}"
    # All panels have the same height, so that a row of them is even.
    return Plot(f"{stage.id} {name}", caption, on_axes(paint), WIDTH, HEIGHT + LEGEND)


def method_curves(matrix: CellMatrix) -> list[Plot]:
    """Returns one figure for each column with trained cells, with one line per series.

    All figures have the same scales, so that they can be compared.
    """
    plots = []
    limits = _limits(matrix)
    for x in matrix.xs:
        trained = {
            series: cell.trained
            for series in matrix.series
            if (cell := matrix.cells.get((x, series))) and cell.trained
        }
        plot = _plot(matrix, x, trained, limits) if trained else None
        plots += [plot] if plot else []
    return plots


def _limits(matrix: CellMatrix) -> dict[str, tuple[float, float]]:
    """Returns the ends of each panel's y axis, with a margin."""
    limits = {}
    stages = [cell.trained for cell in matrix.cells.values() if cell.trained]
    for unit, names in PANELS.items():
        values = [v for s in stages for n in names for v in s.curves.get(n, {}).values()]
        if values:
            low, high = min(values), max(values)
            margin = 0.05 * (high - low) or 0.05
            limits[unit] = (low - margin, high + margin)
    return limits


def _plot(
    matrix: CellMatrix,
    x: str,
    trained: Mapping[str, StageData],
    limits: Mapping[str, tuple[float, float]],
) -> Plot | None:
    panels = {
        unit: names
        for unit, names in PANELS.items()
        if any(name in stage.curves for stage in trained.values() for name in names)
    }
    if not panels:
        return None
    colours = series_colours(matrix.series)

    def paint(figure: Figure) -> None:
        row = figure.subplots(1, len(panels), squeeze=False)[0]
        for axes, (unit, names) in zip(row, panels.items(), strict=True):
            for series, stage in trained.items():
                _lines(axes, stage, names, colours[series])
            axes.set_ylim(*limits[unit])
            axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
            axes.set_xlabel("optimiser step")
            axes.set_ylabel(_unit(unit, trained))
        _legend(figure, matrix, {series: colours[series] for series in trained}, panels)

    losses = ", ".join(dict.fromkeys(stage.loss for stage in trained.values() if stage.loss))
    caption = f"{matrix.label(x)}: the last train stage{f' ({losses})' if losses else ''}"
    return Plot(f"curves-{_file_name(x)}", caption, paint, PANEL_WIDTH * len(panels), 2.9)


def _lines(axes: Axes, stage: StageData, names: Sequence[str], colour: str) -> None:
    for name in names:
        if name in stage.curves:
            curve = thin_curve(stage.curves[name])
            style = "--" if name in LOSING else "-"
            axes.plot(list(curve), list(curve.values()), style, color=colour, linewidth=1.1)


def _unit(unit: str, trained: Mapping[str, StageData]) -> str:
    in_nats = unit == "loss" and all(stage.loss in NATS for stage in trained.values())
    return f"{unit} (nats)" if in_nats else unit


def thinned_text(curves: Iterable[Curve]) -> str:
    """Returns the part of a caption that says how many points are drawn; "" if all are."""
    longest = max(curves, key=len)
    drawn = len(thin_curve(longest))
    return f"; {drawn} of {len(longest)} points are drawn" if drawn < len(longest) else ""


def thin_curve(curve: Curve) -> Curve:
    """Returns about `POINTS` evenly spaced points of a curve, including the last one."""
    stride = max(1, len(curve) // POINTS)
    points = list(curve.items())
    return dict([*points[:-1:stride], *points[-1:]])


def _legend(
    figure: Figure,
    matrix: CellMatrix,
    colours: Mapping[str, str],
    panels: Mapping[str, Sequence[str]],
) -> None:
    handles = [
        Line2D([], [], color=colour, label=matrix.label(series))
        for series, colour in colours.items()
        if series
    ]
    if "implied reward" in panels:
        handles += [
            Line2D([], [], color=INK, label="desirable, chosen"),
            Line2D([], [], color=INK, linestyle="--", label="undesirable, rejected"),
        ]
    if handles:
        figure.legend(
            handles=handles, loc="outside lower center", ncols=min(2 * len(panels), len(handles))
        )


def _file_name(text: str) -> str:
    return "".join(c if c.isalnum() or c in "+-." else "-" for c in text)
