"""The page and the JSON object of suites and runs."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from halo_core.overview.spec_difference import spec_differences
from halo_report.figures.method_curves import method_curves
from halo_report.figures.overlaid_curves import MOST
from halo_report.pages.blocks import imbalance_block, imbalance_fields, length_block, win_block
from halo_report.pages.contenders import Contest, contest_of, named_cells
from halo_report.pages.contest_blocks import answers_block, curves_block, forest_block
from halo_report.pages.contest_questions import contest_questions, contest_verdict
from halo_report.pages.page_parts import PageBlock, ReportPage
from halo_report.pages.value_block import value_block
from halo_report.pages.verdict import verdict_sentence
from halo_report.read.cell_matrix import CellMatrix, ImbalancePoint, JudgedCell, share_fields
from halo_report.read.equal_lengths import rate_at_equal_lengths
from halo_report.read.judged_stages import TARGET
from halo_report.read.pairwise import PairTest, pair_fields, pairwise_tests
from halo_report.read.run_data import RunData, gone_records
from halo_report.read.suite_axes import AxisChoice, imbalance_points, suite_matrix
from halo_report.read.suite_cells import SuiteCells

MOST_ROWS = 16
"""Largest number of cells whose win rates are shown as rows first."""
NAMED = 6
"""Largest number of cells that a sentence names."""


@dataclass(frozen=True)
class ReportPart:
    """The reported form of a suite, or of some runs.

    Attributes:
        matrix: All cells.
        points: Points of an imbalance curve.
        lines: The cells of the lines across the curve, by label.
        specs: Resolved specs by the name of their cell, each text once.
        notes: Sentences about parts that are missing from the records of the runs.
    """

    matrix: CellMatrix
    points: Sequence[ImbalancePoint]
    lines: Mapping[str, JudgedCell]
    specs: Mapping[str, str]
    notes: Sequence[str] = ()


def suite_part(suite: SuiteCells, choice: AxisChoice) -> ReportPart:
    """Returns the reported form of a suite; raises as `suite_matrix` and `imbalance_points` do."""
    points, lines = imbalance_points(suite, choice)
    runs = [run for run in suite.runs if run]
    return ReportPart(suite_matrix(suite, choice), points, lines, _specs(runs), gone_records(runs))


def runs_part(runs: Sequence[RunData], cells: Sequence[JudgedCell]) -> ReportPart:
    """Returns the reported form of runs side by side.

    Args:
        runs: The runs.
        cells: The cell of each run.
    """
    xs = [cell.x for cell in cells]
    placed = {(cell.x, ""): cell for cell in cells}
    name = (cells[0].title or xs[0]) if len(xs) == 1 else f"{len(xs)} runs"
    matrix = CellMatrix(name, "run", "", xs, [""], placed, "left out")
    labels = {cell.x: name for name, cell in named_cells(matrix)}
    matrix = replace(matrix, labels=labels)
    return ReportPart(matrix, [], {}, _specs(runs), gone_records(runs))


def _specs(runs: Sequence[RunData]) -> dict[str, str]:
    texts: dict[str, str] = {}
    for run in runs:
        if run.resolved and run.resolved not in texts.values():
            texts[run.title or run.folder.name] = run.resolved
    return texts


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
    first: Contest | None = None
    for part in parts:
        tests = pairwise_tests(part.matrix)
        contest = part_contest(part, tests)
        first = first or contest
        blocks += _named(_blocks(part, tests, contest), part.matrix.name if len(parts) > 1 else "")
        for key, entries in _payload(part, tests).items():
            payload[key] += entries
    notes = [note for part in parts for note in part.notes]
    page = ReportPage(
        title=", ".join(part.matrix.name for part in parts),
        blocks=blocks,
        warnings=[*_warnings(payload["missing"]), *notes],
        facts=facts,
        warned="Not on this page",
    )
    if len(parts) == 1 and first is None:
        page = replace(page, lead=_alone(parts[0].matrix))
    if len(parts) == 1 and first:
        part = parts[0]
        questions = contest_questions(first, spec_differences(part.specs), axes_text(part.matrix))
        page = replace(page, lead=contest_verdict(first), questions=questions)
    return page, {**payload, "notes": notes}


def _alone(matrix: CellMatrix) -> str:
    """Returns the sentence about the only judged cell; "" if no cell was judged."""
    judged = [(name, cell) for name, cell in named_cells(matrix) if matrix.share(cell)]
    if not judged:
        return ""
    ((name, cell),) = judged
    rival = "the target" if cell.judge is None or cell.judge.rival == TARGET else "its rival"
    return verdict_sentence(name, rival, matrix.share(cell), rate_at_equal_lengths(cell))


def part_contest(part: ReportPart, tests: Sequence[PairTest]) -> Contest | None:
    """Returns the judged cells of a part, or None if fewer than two were judged."""
    matrix = part.matrix.begun_part()
    return contest_of(named_cells(matrix), matrix.failures, tests)


def axes_text(matrix: CellMatrix) -> str:
    """Returns the axes of a suite with the names on them; "" for runs side by side."""
    if matrix.x_axis == "run":
        return ""
    shown = matrix.begun_part()
    axes = {shown.x_axis: shown.xs, shown.series_axis: shown.series}
    texts = [
        f"{axis}: {', '.join(map(shown.label, names))}" for axis, names in axes.items() if axis
    ]
    return f"{'; '.join(texts)}."


def _blocks(
    part: ReportPart, tests: Sequence[PairTest], contest: Contest | None
) -> list[PageBlock]:
    matrix = part.matrix.begun_part()
    bars = win_block(matrix, tests)
    blocks: list[PageBlock | None] = [bars]
    if contest:
        forest = forest_block(contest)
        many = len(contest.all) > MOST_ROWS
        # Many cells are easier to read as groups of bars, few as rows with their numbers.
        pair = (
            (bars, replace(forest, title="Win rates in rows", folded=True))
            if many
            else (
                forest,
                replace(bars, title="Win rates as bars, counts and tests", folded=True)
                if bars
                else None,
            )
        )
        blocks = [*pair, answers_block(contest), curves_block(contest)]
    overlaid = contest is not None and len(contest.all) <= MOST
    curves = [] if overlaid else method_curves(matrix)
    blocks += [
        imbalance_block(part.points, part.lines, matrix.failures) if part.points else None,
        PageBlock("Learning curves", curves) if curves else None,
        length_block(matrix),
        value_block(list(part.specs.values()), folded=False),
    ]
    return [block for block in blocks if block]


def _named(blocks: Sequence[PageBlock], part: str) -> list[PageBlock]:
    """Returns the blocks with the part's name in their titles and file names."""
    if not part:
        return list(blocks)
    slug = re.sub(r"[^A-Za-z0-9.+-]+", "-", part)
    return [block.named(part, slug) for block in blocks]


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
