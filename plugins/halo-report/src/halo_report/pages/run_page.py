"""The page of a run: one HTML document that contains its style and figures."""

from __future__ import annotations

from collections.abc import Mapping

from halo_core.workspace.layout import title_of
from halo_report.figures.colours import SERIES
from halo_report.pages.html import render_report
from halo_report.pages.number_text import duration_text, moment_text
from halo_report.pages.page_parts import PageBlock, ReportPage, TableView
from halo_report.pages.rounds_block import rounds_block
from halo_report.pages.run_answers import change_of, run_authors, run_samples, sampling_pair
from halo_report.pages.run_blocks import (
    curve_blocks,
    length_block,
    numbers_block,
    stages_block,
    win_block,
)
from halo_report.pages.run_questions import run_questions, run_verdict
from halo_report.pages.value_block import value_block
from halo_report.read.completion_lengths import completion_lengths
from halo_report.read.judged_stages import TARGET, before_and_after, judged_stages
from halo_report.read.run_data import RunData

REFRESH_S = 60
"""Seconds after which a browser loads the page of a running run again."""


def render_page(run: RunData, *, samples: int = 20) -> str:
    """Returns the page of a run, finished or not.

    Everything from the run is escaped; the page loads nothing and runs nothing.

    Args:
        run: The output of the run.
        samples: Largest number of prompts to show for each filter of the answers.
    """
    return render_report(run_report(run, samples=samples))


def run_report(run: RunData, *, samples: int = 20) -> ReportPage:
    """Returns the content of the page of a run.

    Args:
        run: The output of the run.
        samples: Largest number of prompts to show for each filter of the answers.
    """
    judged = judged_stages(run.stages)
    before, after = before_and_after(judged, run.stages)
    pair = sampling_pair(run.stages, before, after)
    authors = run_authors(run.stages, judged)
    change = change_of(authors[pair[0].id], authors[pair[1].id]) if pair else None
    lengths = completion_lengths(run.stages)
    answers = run_samples(run.stages, authors, pair, samples)
    trainings = [stage.id for stage in run.stages if stage.curves]
    titles = {id_: author.title for id_, author in authors.items()}
    names = [one.name for one in judged] + [t for id_, t in titles.items() if id_ != TARGET]
    colours = dict(zip(dict.fromkeys(names), SERIES * len(names), strict=False))
    blocks = [
        win_block(judged, colours),
        rounds_block(run.stages, judged),
        PageBlock("Answers side by side", samples=answers) if answers else None,
        *curve_blocks(run.stages, after.name if after else trainings[-1] if trainings else ""),
        length_block(run.stages, lengths, titles, colours) if lengths else None,
        stages_block(run),
        value_block([run.resolved]),
        numbers_block(run, judged),
        *_record_blocks(run),
    ]
    return ReportPage(
        title=run.title or run.name,
        blocks=[block for block in blocks if block],
        warnings=[f"{stage}: {text}" if stage else text for stage, text in run.warnings],
        warned="Warnings",
        lead=run_verdict(run, after),
        questions=run_questions(run, judged, pair, change, lengths) if judged else {},
        status=run.status if run.live or run.status != "running" else "killed",
        about=_about(run),
        error=run.error,
        refresh_s=REFRESH_S if run.live else None,
    )


def _about(run: RunData) -> list[str]:
    facts = [run.name, moment_text(run.started), _took(run)]
    if run.live:
        facts.append("this page is updated until the run ends")
    return [fact for fact in facts if fact]


def _took(run: RunData) -> str:
    if run.started is None or run.ended is None or run.ended < run.started:
        return ""
    return duration_text(run.ended - run.started)


def run_facts(run: RunData) -> Mapping[str, str]:
    """Returns the known facts of a run, such as times and versions, by label."""
    facts = {
        "Run": run.name,
        "Note": title_of(run.folder)["note"],
        "Started": moment_text(run.started),
        "Took": _took(run),
        "Command": run.command,
        "Folder": str(run.folder),
        "Versions": ", ".join(f"{name} {version}" for name, version in run.versions.items()),
    }
    return {label: text for label, text in facts.items() if text}


def _record_blocks(run: RunData) -> list[PageBlock]:
    """Returns the folded blocks about what was run: facts, components and specs."""
    rows = [
        [part["kind"], part["name"], part["distribution"], part["version"], part["origin"]]
        for part in run.components
    ]
    header = ["kind", "name", "distribution", "version", "origin"]
    tables = [TableView("Components", header, rows, texts=5)] if rows else []
    blocks = [PageBlock("The run", facts=run_facts(run), tables=tables, folded=True)]
    if run.resolved:
        title = "Resolved spec: every default written out"
        blocks.append(PageBlock(title, pre=run.resolved, folded=True))
    if run.spec:
        blocks.append(PageBlock("Spec as given", pre=run.spec, folded=True))
    return blocks
