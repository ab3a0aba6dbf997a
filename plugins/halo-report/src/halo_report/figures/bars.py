"""Bars of win rates with intervals and of lengths, per method and size."""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set
from typing import Any

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from halo_report.figures.colours import series_colours
from halo_report.figures.plot import INK, Plot
from halo_report.read.cell_matrix import CellMatrix, JudgedCell

GROUP = 0.84
"""Share of a column's width that its bars take."""
NO_DIFFERENCE = 0.5
"""The win rate of a model that is as good as its rival."""
Bars = Sequence[JudgedCell]
Draw = Callable[[Axes, Sequence[float], float, Bars, str], None]
"""Function that draws the bars of a series from places, width, cells and colour."""


def win_bars(matrix: CellMatrix) -> Plot | None:
    """Returns bars of win rate - 0.5 with intervals, or None if nothing was judged."""
    if not matrix.judged:
        return None

    def draw(axes: Axes, places: Sequence[float], width: float, cells: Bars, colour: str) -> None:
        shares = [share for cell in cells if (share := matrix.share(cell)) is not None]
        heights = [share.rate - NO_DIFFERENCE for share in shares]
        reach = [[s.rate - s.low for s in shares], [s.high - s.rate for s in shares]]
        axes.bar(places, heights, width, color=colour)
        axes.errorbar(places, heights, yerr=reach, fmt="none", ecolor=INK, elinewidth=0.8)

    caption = "Win rate - 0.5 with exact 90 % intervals"
    there = {key for key, cell in matrix.cells.items() if matrix.share(cell) is not None}
    return _bars(matrix, "win-rates", caption, "win rate - 0.5", there, draw)


def length_bars(matrix: CellMatrix) -> Plot | None:
    """Returns bars of the median lengths, with strokes for the means; None without lengths.

    If a median is not known, the bar is the mean.
    """
    there = {key for key, cell in matrix.cells.items() if cell.lengths}
    if not there:
        return None

    def draw(axes: Axes, places: Sequence[float], width: float, cells: Bars, colour: str) -> None:
        lengths = [cell.lengths for cell in cells if cell.lengths]
        heights = [length.mean if length.median is None else length.median for length in lengths]
        axes.bar(places, heights, width, color=colour)
        if medians:
            means = [length.mean for length in lengths]
            axes.plot(places, means, "_", color=INK, markersize=7, markeredgewidth=1.4)

    medians = any(cell.lengths and cell.lengths.median is not None for cell in matrix.ordered())
    what = "median (bar) and mean (stroke)" if medians else "mean"
    caption = f"Length of the completions in tokens: {what}"
    return _bars(matrix, "lengths", caption, "tokens per completion", there, draw)


def _bars(
    matrix: CellMatrix, name: str, caption: str, unit: str, there: Set[tuple[str, str]], draw: Draw
) -> Plot:
    """Returns a plot with bars for the cells in `there` and crosses for the others."""
    colours = series_colours(matrix.series)
    count = len(matrix.series)
    width = GROUP / count

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        axes.axhline(0, color=INK, linewidth=0.8)
        absent = []
        for rank, series in enumerate(matrix.series):
            aside = (rank - (count - 1) / 2) * width
            places = {x: column + aside for column, x in enumerate(matrix.xs)}
            shown = [x for x in matrix.xs if (x, series) in there]
            cells = [matrix.cells[x, series] for x in shown]
            draw(axes, [places[x] for x in shown], 0.92 * width, cells, colours[series])
            # A cross means that a cell has no result. Places without a cell stay empty.
            asked = {x for x, name in matrix.cells if name == series}
            absent += [places[x] for x in matrix.xs if x in asked and x not in shown]
        _legend(figure, axes, matrix, colours, absent)
        axes.set_ylabel(unit)
        axes.set_xlim(-0.6, len(matrix.xs) - 0.4)
        axes.grid(visible=False, axis="x")
        labels = [matrix.label(x) for x in matrix.xs]
        axes.set_xticks(range(len(labels)), labels, **_slant(labels))

    columns = max(len(matrix.xs), 3)
    inches = min(12.0, max(5.2, 1.4 + columns * (0.25 + 0.1 * count)))
    return Plot(name, caption, paint, width=inches, height=4.0)


def _legend(
    figure: Figure, axes: Axes, matrix: CellMatrix, colours: dict[str, str], absent: Sequence[float]
) -> None:
    handles: list[Artist] = []
    if len(matrix.series) > 1:
        handles += [Patch(color=colours[s], label=matrix.label(s)) for s in matrix.series]
    if absent:
        zeros = [0.0] * len(absent)
        handles += axes.plot(
            absent, zeros, "x", color=INK, markersize=5, clip_on=False, label="no result"
        )
    if handles:
        figure.legend(handles=handles, loc="outside lower center", ncols=min(len(handles), 8))


def _slant(labels: Sequence[str]) -> dict[str, Any]:
    crowded = sum(len(label) for label in labels) > 90 or max(map(len, labels)) > 14
    return {"rotation": 30, "ha": "right", "rotation_mode": "anchor"} if crowded else {}
