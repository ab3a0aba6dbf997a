"""The page and the JSON object of a file of counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from halo_report.figures.value_curves import value_figure
from halo_report.pages.blocks import (
    above_half,
    imbalance_block,
    imbalance_fields,
    length_block,
    win_block,
)
from halo_report.pages.claims import LEVEL, ClaimVerdict, Finding, check_claims
from halo_report.pages.contenders import contest_of, named_cells
from halo_report.pages.contest_questions import contest_verdict
from halo_report.pages.page_parts import PageBlock, ReportPage, TableView
from halo_report.read.cell_matrix import JudgedCell, share_fields
from halo_report.read.counts_file import WinCounts
from halo_report.read.pairwise import PairTest, pair_fields, pairwise_tests
from halo_report.values.yardsticks import figure_4
from halo_statistics.significance import p_text


def counts_page(counts: WinCounts, source: str) -> tuple[ReportPage, dict[str, Any]]:
    """Returns the page of a file of counts, and the object that `--json` prints.

    Args:
        counts: The content of the file.
        source: The file's name on the page.
    """
    matrix = counts.matrix
    tests = pairwise_tests(matrix)
    verdicts = check_claims(counts)
    lines = baselines(counts)
    blocks = [
        win_block(matrix, tests),
        _claims_block(verdicts) if verdicts else None,
        _value_block(),
        imbalance_block(counts.points, lines, matrix.failures),
        length_block(matrix),
        _others_block(counts.others) if counts.others else None,
    ]
    contest = contest_of(named_cells(matrix), matrix.failures, tests)
    page = ReportPage(
        f"Counts of {matrix.name}",
        [block for block in blocks if block],
        facts={"Counts": source},
        lead=contest_verdict(contest) if contest else "",
    )
    return page, _payload(counts, tests, verdicts, lines)


def baselines(counts: WinCounts) -> dict[str, JudgedCell]:
    """Returns the lines of the imbalance curve: DPO of the same model on all data."""
    models = dict.fromkeys(point.cell.series for point in counts.points)
    cells = {model: counts.matrix.cells.get(("dpo", model)) for model in models}
    return {f"DPO, {counts.matrix.label(m)}": cell for m, cell in cells.items() if cell}


def _value_block() -> PageBlock | None:
    """Returns the report's Figure 4, which shows closed forms and does not use the counts."""
    plot = value_figure(figure_4())
    if plot is None:
        return None
    note = "Closed forms (SLiC with a margin of 1); to check those of losses: halo inspect LOSS..."
    return PageBlock("Value functions", [plot], [], note)


def _claims_block(verdicts: Sequence[ClaimVerdict]) -> PageBlock:
    header = ["claim", "where", "with these counts", "and after Holm's correction", "how"]
    rows = [
        [v.claim.text, v.claim.source, v.outcome(), v.outcome(with_holm=True), v.summary]
        for v in verdicts
    ]
    note = (
        f"A difference counts where a two-sided exact test gives p < {LEVEL}; Holm's correction "
        "is within each claim. Where a claim says that there is no difference, counts can only "
        "fail to show one: that is not the same as showing that there is none."
    )
    claims = TableView("Verdicts", header, rows, texts=5, note=note)
    details = TableView(
        "Every comparison of the claims",
        ["claim", "comparison", "expected", "holds", "difference", "p", "p (Holm)"],
        [[v.claim.id, *_finding_row(f)] for v in verdicts for f in v.findings],
        texts=4,
        folded=True,
    )
    return PageBlock("The report's claims on these counts", [], [claims, details])


def _finding_row(finding: Finding) -> list[str]:
    test = finding.test
    holds = "yes" if finding.holds() else "no"
    numbers = (f"{test.difference:+.4f}", p_text(test.p), p_text(test.p_holm))
    return [finding.label, finding.says, holds, *numbers]


def _others_block(others: Sequence[JudgedCell]) -> PageBlock:
    rows = []
    for cell in others:
        rate = cell.rate
        assert rate is not None
        shares = (rate.failures_lost, rate.main)
        counts = (str(rate.wins), str(rate.total), str(rate.unscored))
        rows.append([cell.x, *counts, *map(above_half, shares)])
    header = ["row", "wins", "n", "no verdict", "failures as losses", "failures left out"]
    table = TableView("Counts and exact 90 % intervals, of win rate - 0.5", header, rows)
    return PageBlock("Rows of no figure", [], [table])


def _payload(
    counts: WinCounts,
    tests: Sequence[PairTest],
    verdicts: Sequence[ClaimVerdict],
    lines: Mapping[str, JudgedCell],
) -> dict[str, Any]:
    return {
        "rows": [_row_fields(cell) for cell in counts.matrix.ordered()],
        "tests": [{"model": t.a.series, **pair_fields(t)} for t in tests],
        "claims": [_claim_fields(verdict) for verdict in verdicts],
        "imbalance": imbalance_fields(counts.points, lines, counts.matrix.failures, _row_fields),
        "others": [{"name": cell.x, **_count_fields(cell)} for cell in counts.others],
    }


def _row_fields(cell: JudgedCell) -> dict[str, Any]:
    return {"model": cell.series, "method": cell.x, **_count_fields(cell)}


def _count_fields(cell: JudgedCell) -> dict[str, Any]:
    rate = cell.rate
    assert rate is not None
    return {
        "wins": rate.wins,
        "n": rate.total,
        **share_fields(rate.failures_lost),
        "unparsed": rate.unscored,
        "losses": rate.losses,
        "unparsed_left_out": {"n": rate.scored, **share_fields(rate.main)},
        "mean_tokens": cell.lengths.mean if cell.lengths else None,
    }


def _claim_fields(verdict: ClaimVerdict) -> dict[str, Any]:
    return {
        "id": verdict.claim.id,
        "claim": verdict.claim.text,
        "source": verdict.claim.source,
        "verdict": verdict.outcome(),
        "verdict_holm": verdict.outcome(with_holm=True),
        "summary": verdict.summary,
        "comparisons": [
            {
                "label": finding.label,
                "expected": finding.says,
                "holds": finding.holds(),
                "holds_holm": finding.holds(with_holm=True),
                **pair_fields(finding.test),
                "cells": [_cell_fields(c) for c in (finding.test.a, finding.test.b)],
            }
            for finding in verdict.findings
        ],
    }


def _cell_fields(cell: JudgedCell) -> dict[str, Any]:
    rate = cell.rate
    counts = {"wins": rate.wins, "n": rate.total, "unparsed": rate.unscored} if rate else {}
    return {"x": cell.x, "series": cell.series, **counts}
