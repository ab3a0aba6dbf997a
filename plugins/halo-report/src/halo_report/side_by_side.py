"""What different stages said to the same prompts, next to each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from halo_core.feedback import Prompt
from halo_core.workspace.records import SampleLine
from halo_report.run_data import StageData
from halo_statistics.win_rate import Result


@dataclass(frozen=True)
class Badge:
    """A verdict on a text: by which judge stage, and which."""

    judge: str
    result: Result
    flip: bool


@dataclass(frozen=True)
class Column:
    """A text under the name of the stage that wrote it, or of the target."""

    title: str
    text: str
    tokens: int | None
    finish: str
    badges: Sequence[Badge]


@dataclass(frozen=True)
class Card:
    """A prompt and what was said to it."""

    prompt: Prompt
    columns: Sequence[Column]


def side_by_side(stages: Sequence[StageData], count: int) -> list[Card]:
    """Returns the first prompts that every sampling stage has, in the order they were sampled.

    They are not picked: the first `count` of them, good or bad.

    Args:
        stages: All stages of the run, in order.
        count: Cards at most.
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
    """Returns (prompt id, completion) to the verdicts on that text."""
    found: dict[tuple[str, str], list[Badge]] = {}
    for stage in stages:
        for verdict in stage.verdicts:
            badge = Badge(stage.id, verdict["result"], verdict["flip"])
            found.setdefault((verdict["prompt_id"], verdict["completion"]), []).append(badge)
    return found
