"""Lays a suite's cells out: one axis along x, the others as series, a fraction as a curve."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from halo_core.errors import UserError
from halo_core.spec.mistakes import unknown_name
from halo_report.read.cell_matrix import CellMatrix, ImbalancePoint, JudgedCell
from halo_report.read.suite_cells import SuiteCells

X_AXIS, SERIES_AXIS = "method", "size"
"""What is taken where the suite has axes of these names and no option says otherwise."""
BETWEEN = " · "
_FRACTIONS = re.compile(r"fraction|kept|keep|desirable|imbalance")
_NUMBER = re.compile(r"(.*?)[-_=]?(\d+\.?\d*|\.\d+)(%?)$")


@dataclass(frozen=True)
class AxisChoice:
    """Which axis is shown how; None takes what the names suggest.

    Attributes:
        x: Along x.
        series: First among the series.
        fraction: The fraction of the data kept.
    """

    x: str | None = None
    series: str | None = None
    fraction: str | None = None


def suite_matrix(suite: SuiteCells, choice: AxisChoice) -> CellMatrix:
    """Returns the suite as columns and series.

    Without a choice the axis ``method`` is along x, else the last one that is not ``size``; all
    others make the series, ``size`` first.

    Raises:
        UserError: When a chosen axis is not one of the suite's, or both are the same.
    """
    axes = list(suite.axes)
    x = _chosen("--x", choice.x, axes) or _default_x(axes)
    first = _chosen("--series", choice.series, axes) or SERIES_AXIS
    if choice.series == x:
        raise UserError(f"{x!r} is along x already; choose another axis", location="--series")
    others = sorted((axis for axis in axes if axis != x), key=lambda axis: axis != first)
    cells: dict[tuple[str, str], JudgedCell] = {}
    for named, cell in suite.cells:
        series = BETWEEN.join(named[axis] for axis in others if axis in named)
        cells[named.get(x, ""), series] = replace(cell, x=named.get(x, ""), series=series)
    return CellMatrix(
        name=suite.name,
        x_axis=x,
        series_axis=BETWEEN.join(others),
        xs=[name for name in suite.axes[x] if any(name == at for at, _ in cells)],
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


def kept_cells(
    suite: SuiteCells, choice: AxisChoice
) -> tuple[list[ImbalancePoint], dict[str, JudgedCell]]:
    """Returns the cells of the imbalance curve, and those that are lines across it.

    A cell's name on the fraction's axis ends with the fraction (``0.1``, ``10%``,
    ``desirable-0.1``); what stands before it names the curve. One that ends otherwise (``dpo``), or
    is alone on its curve, is a line. Without a choice, an axis is a fraction where its name says
    so (fraction, kept, keep, desirable, imbalance); with two such axes a cell lies on the curve of
    the one of which something was dropped, and on both where nothing was.

    Raises:
        UserError: When the chosen axis is not one of the suite's, or has no fractions.
    """
    chosen = _chosen("--fraction", choice.fraction, list(suite.axes))
    axes = [chosen] if chosen else [axis for axis in suite.axes if _FRACTIONS.search(axis)]
    kept: list[ImbalancePoint] = []
    lines: dict[str, JudgedCell] = {}
    for named, cell in suite.cells:
        places = _places(named, axes)
        if places:
            kept += [ImbalancePoint(side, fraction, cell) for side, fraction in places]
        elif axes:
            lines[BETWEEN.join(named.values())] = cell
    if chosen and not kept:
        names = ", ".join(suite.axes[chosen])
        raise UserError(
            f"no cell of {chosen!r} ends with a fraction in (0, 1]: {names}", location="--fraction"
        )
    return _separate(_everywhere(kept), lines) if kept else ([], {})


def _places(named: Mapping[str, str], axes: Sequence[str]) -> list[tuple[str, float]]:
    """Returns the curves that a cell lies on, each with its fraction."""
    read = {axis: parse_fraction(named[axis]) for axis in axes if axis in named}
    fractions = {axis: found for axis, found in read.items() if found}
    if not fractions or len(fractions) < len(read):
        return []
    rest = [name for axis, name in named.items() if axis not in axes]
    dropped = [axis for axis, (_, fraction) in fractions.items() if fraction < 1]
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
    """Returns what stands before a fraction in (0, 1] at the end of a name, and it; else None.

    >>> parse_fraction("desirable-0.1"), parse_fraction("25%"), parse_fraction("dpo")
    (('desirable', 0.1), ('', 0.25), None)
    """
    found = _NUMBER.fullmatch(name)
    if not found:
        return None
    fraction = float(found[2]) / (100 if found[3] else 1)
    return (found[1].strip(), fraction) if 0 < fraction <= 1 else None


def _everywhere(kept: Sequence[ImbalancePoint]) -> list[ImbalancePoint]:
    """Returns the cells, with one that belongs to no side in particular on every curve."""
    sides = list(dict.fromkeys(each.side for each in kept if each.side))
    spread = []
    for each in kept:
        spread += [replace(each, side=s) for s in sides] if sides and not each.side else [each]
    return spread


def _separate(
    kept: Sequence[ImbalancePoint], lines: dict[str, JudgedCell]
) -> tuple[list[ImbalancePoint], dict[str, JudgedCell]]:
    """Returns the curves, and the lines with those cells that are alone on theirs."""
    counts = {each.side: sum(e.side == each.side for e in kept) for each in kept}
    alone = {each.side: each.cell for each in kept if counts[each.side] == 1}
    if len(alone) == len(counts):
        return list(kept), lines
    return [each for each in kept if counts[each.side] > 1], {**lines, **alone}
