"""Arranges a suite's cells: one axis along x, the others as series, a fraction as a curve."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from halo_core.errors import UserError
from halo_core.spec.mistakes import unknown_name
from halo_report.read.cell_matrix import CellMatrix, ImbalancePoint, JudgedCell
from halo_report.read.suite_cells import SuiteCells

X_AXIS, SERIES_AXIS = "method", "size"
"""Default axes, if the suite has axes with these names."""
BETWEEN = " · "
_FRACTIONS = re.compile(r"fraction|kept|keep|desirable|imbalance")
_NUMBER = re.compile(r"(.*?)[-_=]?(\d+\.?\d*|\.\d+)(%?)$")


@dataclass(frozen=True)
class AxisChoice:
    """The choice of axes. None chooses by the axes' names.

    Attributes:
        x: The axis along x.
        series: The first axis of the series.
        fraction: The axis with the fraction of the data kept.
    """

    x: str | None = None
    series: str | None = None
    fraction: str | None = None


def suite_matrix(suite: SuiteCells, choice: AxisChoice) -> CellMatrix:
    """Returns the suite as columns and series.

    By default the axis ``method`` is along x, or else the last axis other than ``size``. All other
    axes form the series, with ``size`` first.

    Raises:
        UserError: When the suite lacks a chosen axis, or both choices are the same.
    """
    axes = list(suite.axes)
    x = _chosen("--x", choice.x, axes) or _default_x(axes)
    first = _chosen("--series", choice.series, axes) or SERIES_AXIS
    if choice.series == x:
        raise UserError(f"{x!r} is along x already; choose another axis", location="--series")
    others = sorted((axis for axis in axes if axis != x), key=lambda axis: axis != first)
    cells: dict[tuple[str, str], JudgedCell] = {}
    for names, cell in suite.cells:
        series = BETWEEN.join(names[axis] for axis in others if axis in names)
        cells[names.get(x, ""), series] = replace(cell, x=names.get(x, ""), series=series)
    return CellMatrix(
        name=suite.name,
        x_axis=x,
        series_axis=BETWEEN.join(others),
        xs=[name for name in suite.axes[x] if any(name == column for column, _ in cells)],
        series=_series_order(others, suite.axes, cells),
        cells=cells,
        failures="left out",
    )


def _chosen(option: str, axis: str | None, axes: Sequence[str]) -> str | None:
    if axis is not None and axis not in axes:
        raise UserError(unknown_name("axis", axis, axes), location=option)
    return axis


def _default_x(axes: Sequence[str]) -> str:
    if X_AXIS in axes:
        return X_AXIS
    return [axis for axis in axes if axis != SERIES_AXIS or len(axes) == 1][-1]


def _series_order(
    others: Sequence[str],
    axes: Mapping[str, Sequence[str]],
    cells: Mapping[tuple[str, str], JudgedCell],
) -> list[str]:
    def rank(series: str) -> list[int]:
        parts = series.split(BETWEEN)
        named = zip(others, parts, strict=False)
        return [list(axes[axis]).index(part) if part in axes[axis] else -1 for axis, part in named]

    return sorted(dict.fromkeys(series for _, series in cells), key=rank)


def imbalance_points(
    suite: SuiteCells, choice: AxisChoice
) -> tuple[list[ImbalancePoint], dict[str, JudgedCell]]:
    """Returns the cells of the imbalance curve, and the cells that are lines across it.

    A cell's name on the fraction's axis ends with the fraction (``0.1``, ``10%``,
    ``desirable-0.1``). The text before the fraction names the curve. A cell with another name
    (``dpo``), or alone on its curve, is a line. By default an axis is a fraction if its name is
    one of fraction, kept, keep, desirable, imbalance. With two such axes, a cell is on the curve
    of the axis from which data were dropped, and on both curves if none were dropped.

    Raises:
        UserError: When the suite lacks the chosen axis, or the axis has no fractions.
    """
    chosen = _chosen("--fraction", choice.fraction, list(suite.axes))
    axes = [chosen] if chosen else [axis for axis in suite.axes if _FRACTIONS.search(axis)]
    points: list[ImbalancePoint] = []
    lines: dict[str, JudgedCell] = {}
    for names, cell in suite.cells:
        places = _places(names, axes)
        if places:
            points += [ImbalancePoint(side, fraction, cell) for side, fraction in places]
        elif axes:
            lines[BETWEEN.join(names.values())] = cell
    if chosen and not points:
        known = ", ".join(suite.axes[chosen])
        raise UserError(
            f"no cell of {chosen!r} ends with a fraction in (0, 1]: {known}", location="--fraction"
        )
    return _separate(_everywhere(points), lines) if points else ([], {})


def _places(names: Mapping[str, str], axes: Sequence[str]) -> list[tuple[str, float]]:
    """Returns the curves of a cell, each with the cell's fraction."""
    parsed = {axis: parse_fraction(names[axis]) for axis in axes if axis in names}
    fractions = {axis: parts for axis, parts in parsed.items() if parts}
    if not fractions or len(fractions) < len(parsed):
        return []
    rest = [name for axis, name in names.items() if axis not in axes]
    dropped = [axis for axis, (_, fraction) in fractions.items() if fraction < 1]
    # If data of both sides were dropped, the cell is on neither curve.
    if len(axes) > 1 and len(dropped) > 1:
        return []
    shown = dropped or list(fractions)
    places = []
    for axis in shown:
        prefix, fraction = fractions[axis]
        own = [axis] if len(axes) > 1 else [prefix] if prefix else []
        places.append((BETWEEN.join([*own, *rest]), fraction))
    return places


def parse_fraction(name: str) -> tuple[str, float] | None:
    """Returns the text before a fraction in (0, 1] at a name's end, and the fraction; else None.

    >>> parse_fraction("desirable-0.1"), parse_fraction("25%"), parse_fraction("dpo")
    (('desirable', 0.1), ('', 0.25), None)
    """
    match = _NUMBER.fullmatch(name)
    if not match:
        return None
    fraction = float(match[2]) / (100 if match[3] else 1)
    return (match[1].strip(), fraction) if 0 < fraction <= 1 else None


def _everywhere(points: Sequence[ImbalancePoint]) -> list[ImbalancePoint]:
    """Returns the points. Points without a side are repeated on every curve."""
    sides = list(dict.fromkeys(point.side for point in points if point.side))
    spread = []
    for point in points:
        spread += [replace(point, side=s) for s in sides] if sides and not point.side else [point]
    return spread


def _separate(
    points: Sequence[ImbalancePoint], lines: dict[str, JudgedCell]
) -> tuple[list[ImbalancePoint], dict[str, JudgedCell]]:
    """Returns the curves, and the lines including cells that are alone on their curves."""
    counts = Counter(point.side for point in points)
    alone = {point.side: point.cell for point in points if counts[point.side] == 1}
    # If every curve has a single point, the figure shows these points instead of nothing.
    if len(alone) == len(counts):
        return list(points), lines
    return [point for point in points if counts[point.side] > 1], {**lines, **alone}
