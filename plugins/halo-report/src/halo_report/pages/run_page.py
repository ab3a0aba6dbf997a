"""The page of a run: one HTML document that contains its style and figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from halo_core.errors import HaloError
from halo_core.feedback import Prompt
from halo_core.workspace.layout import title_of
from halo_core.workspace.records import SampleLine
from halo_report.figures.bars import win_rate_figure
from halo_report.figures.curves import curve_figures
from halo_report.figures.lengths import completion_lengths, lengths_figure
from halo_report.figures.plot import Plot
from halo_report.figures.value_curves import value_figure
from halo_report.pages.html import render
from halo_report.read.run_data import RunData, StageData
from halo_report.values.declared import run_values
from halo_statistics.win_rate import Result, WinRate, win_rate

BIAS_COLUMNS: Mapping[str, str] = {
    "win_lc": "length-controlled (halo)",
    "length_bias": "correlation with length",
    "first_shown": "points for the first shown",
    "agreement": "orders agree",
    "flip": "flips",
}
"""Titles of the columns, by metric."""


def render_page(run: RunData, *, samples: int = 20) -> str:
    """Returns the page of a run, finished or not.

    Everything from the run is escaped; the page loads nothing and runs nothing.

    Args:
        run: The output of the run.
        samples: Number of prompts to show with their completions side by side.
    """
    rates = win_rates(run.stages)
    return render(
        "run.html.j2",
        {
            "run": run,
            "facts": run_facts(run),
            "rates": rates,
            "win": win_rate_figure(rates),
            "bias_columns": list(BIAS_COLUMNS.values()),
            "biases": judge_biases(run.stages),
            "curves": {stage.id: plots for stage in run.stages if (plots := curve_figures(stage))},
            "values": run_value_figure(run.resolved),
            "lengths": lengths_figure(completion_lengths(run.stages)),
            "cards": side_by_side(run.stages, samples),
        },
    )


def win_rates(stages: Sequence[StageData]) -> dict[str, WinRate]:
    """Returns the win rate of each stage that has verdicts, with the stage's own confidence."""
    return {stage.id: _win_rate(stage) for stage in stages if stage.verdicts}


def _win_rate(stage: StageData) -> WinRate:
    return win_rate(
        (verdict["result"] for verdict in stage.verdicts),
        confidence=stage.options.get("confidence", 0.9),
        interval=stage.options.get("interval", "exact"),
    )


def run_value_figure(resolved_spec: str) -> Plot | None:
    """Returns the figure of the losses' value functions; None if no loss declares one.

    If a plugin is missing or broken, the page lacks this figure only.
    """
    try:
        return value_figure(run_values(resolved_spec))
    except HaloError:
        return None


def run_facts(run: RunData) -> Mapping[str, str]:
    """Returns the known facts of a run, such as times and versions, by label."""
    facts = {
        "Run": run.name,
        "Note": title_of(run.folder)["note"],
        "Started": _moment(run.started),
        "Took": _duration(run.started, run.ended),
        "Command": run.command,
        "Folder": str(run.folder),
        "Versions": ", ".join(f"{name} {version}" for name, version in run.versions.items()),
    }
    return {label: text for label, text in facts.items() if text}


def _moment(seconds: float | None) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S} UTC" if seconds else ""


def _duration(start: float | None, end: float | None) -> str:
    if start is None or end is None or end < start:
        return ""
    minutes, seconds = divmod(round(end - start), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds} s"


def judge_biases(stages: Sequence[StageData]) -> dict[str, list[str]]:
    """Returns the texts of the columns for each stage that has one of these metrics."""
    return {
        stage.id: [_metric_text(stage.metrics, name) for name in BIAS_COLUMNS]
        for stage in stages
        if stage.product == "verdicts" and BIAS_COLUMNS.keys() & stage.metrics.keys()
    }


def _metric_text(metrics: Mapping[str, float], name: str) -> str:
    if name not in metrics:
        return "none"
    ends = [metrics.get(f"{name}_{end}") for end in ("lo", "hi")]
    known = [end for end in ends if end is not None]
    interval = f" [{known[0]:.3f}, {known[1]:.3f}]" if len(known) == len(ends) else ""
    return f"{metrics[name]:.3f}{interval}"


@dataclass(frozen=True)
class Badge:
    """A verdict on a text, with its judge stage."""

    judge: str
    result: Result
    flip: bool


@dataclass(frozen=True)
class Column:
    """A text with the name of the stage that wrote it, or the target."""

    title: str
    text: str
    tokens: int | None
    finish: str
    badges: Sequence[Badge]


@dataclass(frozen=True)
class Card:
    """A prompt and its completions."""

    prompt: Prompt
    columns: Sequence[Column]


def side_by_side(stages: Sequence[StageData], count: int) -> list[Card]:
    """Returns the first prompts that every sampling stage has, in the order of sampling.

    These are always the first `count` prompts, good or bad.

    Args:
        stages: All stages of the run, in order.
        count: Maximum number of cards.
    """
    sampled = {
        stage.id: {sample["prompt_id"]: sample for sample in stage.samples}
        for stage in stages
        if stage.samples
    }
    if not sampled:
        return []
    first, *others = sampled.values()
    shared = [id_ for id_ in first if all(id_ in other for other in others)]
    badges = _badges(stages)
    return [_card(id_, sampled, badges) for id_ in shared[:count]]


def _card(
    prompt_id: str,
    sampled: Mapping[str, Mapping[str, SampleLine]],
    badges: Mapping[tuple[str, str], Sequence[Badge]],
) -> Card:
    samples = {stage: of_stage[prompt_id] for stage, of_stage in sampled.items()}
    columns = [
        Column(
            title=stage,
            text=sample["completion"],
            tokens=sample.get("tokens"),
            finish=sample.get("finish", ""),
            badges=badges.get((prompt_id, sample["completion"]), ()),
        )
        for stage, sample in samples.items()
    ]
    some = next(iter(samples.values()))
    target = some.get("target")
    if target is not None:
        columns.append(Column("target", target, some.get("target_tokens"), "", ()))
    return Card(some["prompt"], columns)


def _badges(stages: Sequence[StageData]) -> dict[tuple[str, str], list[Badge]]:
    """Returns the verdicts on each text, by prompt id and completion."""
    badges: dict[tuple[str, str], list[Badge]] = {}
    for stage in stages:
        for verdict in stage.verdicts:
            badge = Badge(stage.id, verdict["result"], verdict["flip"])
            # A text is identified by its prompt and words, so stages with equal texts share it.
            badges.setdefault((verdict["prompt_id"], verdict["completion"]), []).append(badge)
    return badges
