"""The page of a comparison."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from halo_report.compare.comparison_tables import DASH, pairs_table, runs_table
from halo_report.compare.run_comparison import RunComparison
from halo_report.pages.contenders import Contest, contest_of
from halo_report.pages.contest_blocks import (
    answers_block,
    curves_block,
    forest_block,
)
from halo_report.pages.contest_questions import contest_questions, contest_verdict
from halo_report.pages.page_parts import PageBlock, ReportPage, TableView
from halo_report.pages.rounds_block import compared_rounds_block
from halo_report.pages.run_questions import SPECS
from halo_report.pages.value_block import value_block


def comparison_page(comparison: RunComparison, links: Mapping[str, str]) -> ReportPage:
    """Returns the page: the verdict, five answers, figures, answers, tables and specs.

    Args:
        comparison: The comparison to show.
        links: Addresses of other pages that show the same runs, by label.
    """
    contest = contest_of(
        [(model.label, model.cell) for model in comparison.models],
        "left out",
        [pair.test for pair in comparison.pairs],
        comparison.baseline.label if comparison.baseline else None,
    )
    tables = [replace(runs_table(comparison), folded=contest is not None)]
    if comparison.pairs:
        pairs = pairs_table(comparison)
        note = f"{comparison.conclusion} {pairs.note}" if contest else pairs.note
        tables.append(replace(pairs, note=note, folded=contest is not None))
    blocks = [PageBlock("Win rates", tables=tables)]
    if contest:
        figures = (answers_block(contest), curves_block(contest))
        blocks = [replace(forest_block(contest), tables=tables)]
        blocks += [block for block in figures if block]
    rounds = compared_rounds_block(model.run for model in comparison.models)
    blocks += [rounds] if rounds else []
    if comparison.differences:
        blocks.append(PageBlock("Where the specs differ", tables=[_differences(comparison)]))
    values = value_block(list(dict.fromkeys(m.run.resolved for m in comparison.models)))
    facts = {
        model.label: f"{model.run.folder} (stage {model.judge.id})" for model in comparison.models
    }
    return ReportPage(
        title=_title(comparison),
        blocks=[*blocks, *([values] if values else [])],
        warnings=[
            *(f"Not the same for all: {sentence}" for sentence in comparison.unlike),
            *(f"Not compared: {sentence}" for sentence in comparison.left_out),
            *(f"Not known: {sentence}" for sentence in comparison.unknown),
        ],
        facts=facts,
        warned="Compare with care",
        lead=contest_verdict(contest) if contest else comparison.conclusion,
        questions=_questions(contest, comparison) if contest else {},
        links=links,
    )


def _title(comparison: RunComparison) -> str:
    labels = [model.label for model in comparison.models]
    if _is_one_run(comparison):
        return f"{len(labels)} judge stages of {comparison.models[0].run.folder.name} compared"
    return " and ".join(labels) if len(labels) == 2 else f"{len(labels)} runs compared"


def _is_one_run(comparison: RunComparison) -> bool:
    return len({model.run.folder for model in comparison.models}) == 1


def _questions(contest: Contest, comparison: RunComparison) -> dict[str, str]:
    questions = contest_questions(contest, comparison.differences)
    if _is_one_run(comparison):
        questions[SPECS] = "Nothing: these are stages of one run. Its report has their options."
    return questions


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
