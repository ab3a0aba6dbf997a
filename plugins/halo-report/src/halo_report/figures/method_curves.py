"""Learning curves of many methods side by side: one figure for each method, on the same scales."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from halo_report.figures.colours import series_colours
from halo_report.figures.curves import KL, NATS, REFERENCE_POINT, thin_curve
from halo_report.figures.plot import INK, LEGEND, WIDTH, Plot
from halo_report.read.cell_matrix import CellMatrix
from halo_report.read.run_data import StageData

PANEL_HEIGHT = 2.0
"""Height of a method's panel, in inches."""
PANELS: Mapping[str, Sequence[str]] = {
    "loss": ("train/loss",),
    "implied reward": (
        "rewards/desirable",
        "rewards/chosen",
        "rewards/undesirable",
        "rewards/rejected",
    ),
    "KL estimate (nats)": (KL, REFERENCE_POINT),
}
"""The metrics of each panel, by the label of its y axis."""
LOSING = ("rewards/undesirable", "rewards/rejected")
"""Metrics that are drawn with dashed lines."""


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
        column = figure.subplots(len(panels), 1, squeeze=False)[:, 0]
        for axes, (unit, names) in zip(column, panels.items(), strict=True):
            for series, stage in trained.items():
                _lines(axes, stage, names, colours[series])
            axes.set_ylim(*limits[unit])
            axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
            axes.set_xlabel("optimiser step")
            axes.set_ylabel(_unit(unit, trained))
        _legend(figure, matrix, {series: colours[series] for series in trained}, panels)

    losses = ", ".join(dict.fromkeys(stage.loss for stage in trained.values() if stage.loss))
    caption = f"{matrix.label(x)}: the last train stage{f' ({losses})' if losses else ''}"
    height = PANEL_HEIGHT * len(panels) + LEGEND * (2 + len(trained) // 2)
    return Plot(f"curves-{_file_name(x)}", caption, paint, WIDTH, height)


def _lines(axes: Axes, stage: StageData, names: Sequence[str], colour: str) -> None:
    for name in names:
        # The estimate says more than the reference point, which is the estimate clipped at 0.
        if name in stage.curves and not (name == REFERENCE_POINT and KL in stage.curves):
            curve = thin_curve(stage.curves[name])
            style = "--" if name in LOSING else "-"
            axes.plot(list(curve), list(curve.values()), style, color=colour, linewidth=1.1)


def _unit(unit: str, trained: Mapping[str, StageData]) -> str:
    in_nats = unit == "loss" and all(stage.loss in NATS for stage in trained.values())
    return f"{unit} (nats)" if in_nats else unit


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
        figure.legend(handles=handles, loc="outside lower center", ncols=2)


def _file_name(text: str) -> str:
    return "".join(c if c.isalnum() or c in "+-." else "-" for c in text)
