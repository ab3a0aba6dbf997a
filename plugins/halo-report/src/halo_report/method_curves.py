"""Learning curves: loss, rewards and reference point over the steps, a figure per method."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from halo_report.curves import NATS
from halo_report.matrix import Matrix
from halo_report.plot import Plot
from halo_report.run_data import Curve, StageData
from halo_report.series_colours import series_colours
from halo_report.svg import INK

WIDTH = 3.3
"""Of a panel, in inches."""
POINTS = 300
"""A curve of more points is thinned out to about so many."""
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
"""Label of the y axis to the metrics of a panel."""
LOSING = ("rewards/undesirable", "rewards/rejected")
"""Shown as dashes."""


def curve_plots(matrix: Matrix) -> list[Plot]:
    """Returns a figure for each column whose cells were trained, with a line per series."""
    plots = []
    for x in matrix.xs:
        trained = {
            series: cell.trained
            for series in matrix.series
            if (cell := matrix.cells.get((x, series))) and cell.trained
        }
        plot = _plot(matrix, x, trained) if trained else None
        plots += [plot] if plot else []
    return plots


def _plot(matrix: Matrix, x: str, trained: Mapping[str, StageData]) -> Plot | None:
    panels = {
        unit: names
        for unit, names in PANELS.items()
        if any(name in stage.curves for stage in trained.values() for name in names)
    }
    if not panels:
        return None
    colours = series_colours(matrix.series)

    def paint(figure: Figure) -> None:
        found = figure.subplots(1, len(panels), squeeze=False)[0]
        for axes, (unit, names) in zip(found, panels.items(), strict=True):
            for series, stage in trained.items():
                _lines(axes, stage, names, colours[series])
            axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
            axes.set_xlabel("optimiser step")
            axes.set_ylabel(_unit(unit, trained))
        _legend(figure, matrix, {series: colours[series] for series in trained}, panels)

    losses = ", ".join(dict.fromkeys(stage.loss for stage in trained.values() if stage.loss))
    caption = f"{matrix.label(x)}: the last train stage{f' ({losses})' if losses else ''}"
    return Plot(f"curves-{_file_name(x)}", caption, paint, WIDTH * len(panels), 2.9)


def _lines(axes: Axes, stage: StageData, names: Sequence[str], colour: str) -> None:
    for name in names:
        if name in stage.curves:
            curve = thinned(stage.curves[name])
            style = "--" if name in LOSING else "-"
            axes.plot(list(curve), list(curve.values()), style, color=colour, linewidth=1.1)


def _unit(unit: str, trained: Mapping[str, StageData]) -> str:
    in_nats = unit == "loss" and all(stage.loss in NATS for stage in trained.values())
    return f"{unit} (nats)" if in_nats else unit


def thinned(curve: Curve) -> Curve:
    """Returns every so manieth point of a curve, the last one always."""
    stride = max(1, len(curve) // POINTS)
    points = list(curve.items())
    return dict([*points[:-1:stride], *points[-1:]])


def _legend(
    figure: Figure, matrix: Matrix, colours: Mapping[str, str], panels: Mapping[str, Sequence[str]]
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
