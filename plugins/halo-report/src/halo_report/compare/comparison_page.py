"""The page of a comparison."""

from __future__ import annotations

from collections.abc import Mapping

from halo_report.compare.comparison_tables import DASH, pairs_table, runs_table
from halo_report.compare.run_comparison import RunComparison
from halo_report.pages.page_parts import PageBlock, ReportPage, TableView


def comparison_page(comparison: RunComparison, links: Mapping[str, str]) -> ReportPage:
    """Returns the page: the conclusion, the tables and the differences of the specs.

    Args:
        comparison: The comparison to show.
        links: Addresses of other pages that show the same runs, by label.
    """
    tests = [pairs_table(comparison)] if comparison.pairs else []
    blocks = [PageBlock("Win rates", (), [runs_table(comparison)]), PageBlock("Tests", (), tests)]
    if comparison.differences:
        blocks.append(PageBlock("Where the specs differ", (), [_differences(comparison)]))
    facts = {
        model.label: f"{model.run.folder} (stage {model.judge.id})" for model in comparison.models
    }
    return ReportPage(
        title=_title(comparison),
        blocks=[block for block in blocks if block.tables],
        warnings=[
            *(f"Not the same for all: {sentence}" for sentence in comparison.unlike),
            *(f"Not compared: {sentence}" for sentence in comparison.left_out),
        ],
        facts=facts,
        warned="Compare with care",
        lead=comparison.conclusion,
        links=links,
    )


def _title(comparison: RunComparison) -> str:
    labels = [model.label for model in comparison.models]
    return " and ".join(labels) if len(labels) == 2 else f"{len(labels)} runs compared"


def _differences(comparison: RunComparison) -> TableView:
    labels = [model.label for model in comparison.models]
    rows = [
        [difference.path, *(difference.values.get(label, DASH) for label in labels)]
        for difference in comparison.differences
    ]
    return TableView(
        "Resolved options, defaults written out",
        ["option", *labels],
        rows,
        texts=1 + len(labels),
        folded=len(rows) > 40,
    )
