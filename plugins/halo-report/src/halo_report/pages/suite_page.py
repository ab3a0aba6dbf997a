"""The page and the JSON object of suites and runs."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from halo_core.errors import HaloError
from halo_report.figures.curves import method_curves
from halo_report.figures.value_curves import value_figure
from halo_report.pages.blocks import imbalance_block, imbalance_fields, length_block, win_block
from halo_report.pages.page_parts import PageBlock, ReportPage
from halo_report.read.cell_matrix import CellMatrix, ImbalancePoint, JudgedCell, share_fields
from halo_report.read.pairwise import PairTest, pair_fields, pairwise_tests
from halo_report.read.suite_axes import AxisChoice, imbalance_points, suite_matrix
from halo_report.read.suite_cells import SuiteCells
from halo_report.values.declared import run_values

NAMED = 6
"""Largest number of cells that a sentence names."""


@dataclass(frozen=True)
class ReportPart:
    """The reported form of a suite, or of some runs.

    Attributes:
        matrix: All cells.
        points: Points of an imbalance curve.
        lines: The cells of the lines across the curve, by label.
        specs: Resolved specs, for the value functions.
    """

    matrix: CellMatrix
    points: Sequence[ImbalancePoint]
    lines: Mapping[str, JudgedCell]
    specs: Sequence[str]


def suite_part(suite: SuiteCells, choice: AxisChoice) -> ReportPart:
    """Returns the reported form of a suite; raises as `suite_matrix` and `imbalance_points` do."""
    points, lines = imbalance_points(suite, choice)
    return ReportPart(suite_matrix(suite, choice), points, lines, suite.specs)


def runs_part(cells: Sequence[JudgedCell], specs: Sequence[str]) -> ReportPart:
    """Returns the reported form of runs side by side."""
    xs = [cell.x for cell in cells]
    placed = {(cell.x, ""): cell for cell in cells}
    name = xs[0] if len(xs) == 1 else f"{len(xs)} runs"
    return ReportPart(CellMatrix(name, "run", "", xs, [""], placed, "left out"), [], {}, specs)


def parts_page(
    parts: Sequence[ReportPart], facts: Mapping[str, str]
) -> tuple[ReportPage, dict[str, Any]]:
    """Returns the page of some suites and runs, and the object that `--json` prints.

    Args:
        parts: The parts in the order of the page.
        facts: Texts by label, for the end of the page.
    """
    blocks: list[PageBlock] = []
    payload: dict[str, list[Any]] = {"rows": [], "tests": [], "imbalance": [], "missing": []}
    for part in parts:
        tests = pairwise_tests(part.matrix)
        blocks += _named(_blocks(part, tests), part.matrix.name if len(parts) > 1 else "")
        for key, entries in _payload(part, tests).items():
            payload[key] += entries
    title = ", ".join(part.matrix.name for part in parts)
    return ReportPage(title, blocks, _warnings(payload["missing"]), facts), payload


def _blocks(part: ReportPart, tests: Sequence[PairTest]) -> list[PageBlock]:
    matrix = part.matrix.begun_part()
    curves = method_curves(matrix)
    blocks = [
        win_block(matrix, tests),
        imbalance_block(part.points, part.lines, matrix.failures) if part.points else None,
        length_block(matrix),
        _value_block(part.specs),
        PageBlock("Learning curves", curves) if curves else None,
    ]
    return [block for block in blocks if block]


def _value_block(specs: Sequence[str]) -> PageBlock | None:
    values = {value.label: value for spec in specs for value in run_values(spec)}
    try:
        plot = value_figure(list(values.values()))
    except HaloError:  # If a loss is broken or missing, only its figure is left out.
        return None
    if plot is None:
        return None
    note = "The value functions that the losses declare. To check them: halo inspect LOSS"
    return PageBlock("Value functions", [plot], [], note)


def _named(blocks: Sequence[PageBlock], part: str) -> list[PageBlock]:
    """Returns the blocks with the part's name in their titles and file names."""
    if not part:
        return list(blocks)
    slug = re.sub(r"[^A-Za-z0-9.+-]+", "-", part)
    return [
        replace(
            block,
            title=f"{part}: {block.title}",
            plots=[replace(plot, name=f"{slug}-{plot.name}") for plot in block.plots],
        )
        for block in blocks
    ]


def _payload(part: ReportPart, tests: Sequence[PairTest]) -> dict[str, list[Any]]:
    matrix = part.matrix
    return {
        "rows": [_row(matrix, cell) for cell in matrix.ordered()],
        "tests": [{**_series(matrix, test.a), **pair_fields(test)} for test in tests],
        "imbalance": imbalance_fields(
            part.points,
            part.lines,
            matrix.failures,
            lambda cell: {"of": matrix.name, **_counts(cell)},
        ),
        "missing": [_missing(matrix, cell) for cell in matrix.ordered() if cell.rate is None],
    }


def _series(matrix: CellMatrix, cell: JudgedCell) -> dict[str, str]:
    return {"of": matrix.name} | ({matrix.series_axis: cell.series} if matrix.series_axis else {})


def _row(matrix: CellMatrix, cell: JudgedCell) -> dict[str, Any]:
    return {**_series(matrix, cell), matrix.x_axis: cell.x, "run": cell.run or None} | _counts(cell)


def _counts(cell: JudgedCell) -> dict[str, Any]:
    rate, lengths = cell.rate, cell.lengths
    counts = {
        "wins": rate.wins if rate else None,
        "losses": rate.losses if rate else None,
        "ties": rate.ties if rate else None,
        "unscored": rate.unscored if rate else None,
        "n": rate.scored if rate else 0,
        **share_fields(rate.main if rate else None),
        "failures_lost": {
            "n": rate.total if rate else 0,
            **share_fields(rate.failures_lost if rate else None),
        },
        "length_median": lengths.median if lengths else None,
        "length_mean": lengths.mean if lengths else None,
    }
    return {"status": cell.status, "why": cell.why or None, **counts}


def _missing(matrix: CellMatrix, cell: JudgedCell) -> dict[str, str]:
    parts = [part for part in (cell.series, cell.x) if part]
    return {"of": matrix.name, "name": " ".join(parts), "status": cell.status, "why": cell.why}


def _warnings(missing: Sequence[Mapping[str, str]]) -> list[str]:
    """Returns one sentence for each reason, naming all cells without a result for that reason."""
    names_by_reason: dict[str, list[str]] = {}
    for cell in missing:
        reason = f"{cell['status']}: {cell['why']}" if cell["why"] else cell["status"]
        names_by_reason.setdefault(reason, []).append(cell["name"])
    return [f"{_listed(names)}: {reason}" for reason, names in names_by_reason.items()]


def _listed(names: Sequence[str]) -> str:
    if len(names) <= NAMED:
        return ", ".join(names)
    return f"{len(names)} cells ({', '.join(names[:NAMED])}, ...)"
