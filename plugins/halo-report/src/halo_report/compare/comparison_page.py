"""The page of a comparison."""

from __future__ import annotations

from collections.abc import Mapping

from halo_report.compare.comparison_tables import DASH, pairs_table, runs_table
from halo_report.compare.run_comparison import Comparison
from halo_report.pages.html import Block, Page, TableView


def comparison_page(found: Comparison, links: Mapping[str, str]) -> Page:
    """Returns the page: conclusion, tables, and where the specs differ.

    Args:
        found: What is told.
        links: Label to address of what else shows the same runs.
    """
    tests = [pairs_table(found)] if found.pairs else []
    blocks = [Block("Win rates", (), [runs_table(found)]), Block("Tests", (), tests)]
    if found.differences:
        blocks.append(Block("Where the specs differ", (), [_differences(found)]))
    facts = {entry.label: f"{entry.run.folder} (stage {entry.judge.id})" for entry in found.entries}
    return Page(
        title=_title(found),
        blocks=[block for block in blocks if block.tables],
        warnings=[
            *(f"Not the same for all: {each}" for each in found.unlike),
            *(f"Not compared: {each}" for each in found.left_out),
        ],
        facts=facts,
        warned="Compare with care",
        lead=found.conclusion,
        links=links,
    )


def _title(found: Comparison) -> str:
    labels = [entry.label for entry in found.entries]
    return " and ".join(labels) if len(labels) == 2 else f"{len(labels)} runs compared"


def _differences(found: Comparison) -> TableView:
    labels = [entry.label for entry in found.entries]
    rows = [
        [each.path, *(each.values.get(label, DASH) for label in labels)]
        for each in found.differences
    ]
    return TableView(
        "Resolved options, defaults written out",
        ["option", *labels],
        rows,
        texts=1 + len(labels),
        folded=len(rows) > 40,
    )
