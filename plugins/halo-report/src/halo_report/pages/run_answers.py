"""The answers of a run's models: before and after the training, with the verdicts on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from halo_core.feedback import Prompt
from halo_core.workspace.records import SampleLine
from halo_report.pages.answer_cards import Answer, Author, answer_cards
from halo_report.pages.page_parts import Badge, Samples
from halo_report.read.judged_stages import TARGET, JudgedStage
from halo_report.read.run_data import StageData
from halo_statistics.win_rate import Result


@dataclass(frozen=True)
class Change:
    """How the answers changed from one model to another, on the prompts that both answered.

    Attributes:
        before: The title of the first model.
        after: The title of the second model.
        shared: Number of prompts.
        changed: Number of prompts with different answers.
        won: Number of prompts on which the first lost and the second won.
        lost: Number of prompts on which the first won and the second lost.
    """

    before: str
    after: str
    shared: int
    changed: int
    won: int
    lost: int


def sampling_pair(
    stages: Sequence[StageData], before: JudgedStage | None, after: JudgedStage | None
) -> tuple[StageData, StageData] | None:
    """Returns the sampling stages before and after the training; None without two of them.

    They are the stages whose samples were judged. Without verdicts, they are the last two.
    """
    judged = [one.samples for one in (before, after) if one and one.samples]
    if len(judged) == 2 and all(s.samples for s in judged) and judged[0] is not judged[1]:
        return judged[0], judged[1]
    sampled = [stage for stage in stages if stage.samples]
    return (sampled[-2], sampled[-1]) if len(sampled) > 1 else None


def run_authors(stages: Sequence[StageData], judged: Sequence[JudgedStage]) -> dict[str, Author]:
    """Returns the authors of a run by the ids of their sampling stages, and the target.

    A sampling stage is called by its model, unless several stages sampled the same model.
    """
    sampled = [stage for stage in stages if stage.samples]
    writers: dict[tuple[str, str], list[str]] = {}
    for stage in sampled:
        for sample in stage.samples:
            writers.setdefault((sample["prompt_id"], sample["completion"]), []).append(stage.id)
    starts = [stage.start for stage in sampled]
    titles = {s.id: s.start if starts.count(s.start) == 1 and s.start else s.id for s in sampled}
    authors = {s.id: _author(s, titles[s.id], judged, writers) for s in sampled}
    targets = {
        sample["prompt_id"]: Answer(target, sample.get("target_tokens"))
        for stage in sampled
        for sample in stage.samples
        if (target := sample.get("target")) is not None
    }
    return authors | ({TARGET: Author(TARGET, targets)} if targets else {})


def _author(
    stage: StageData,
    title: str,
    judged: Sequence[JudgedStage],
    writers: Mapping[tuple[str, str], Sequence[str]],
) -> Author:
    badges: dict[str, list[Badge]] = {}
    results: dict[str, Result] = {}
    for one in judged:
        for verdict in one.stage.verdicts:
            id_, text = verdict["prompt_id"], verdict["completion"]
            own = writers.get((id_, text), ())
            # A record that does not name the judged samples leaves only the text. If two stages
            # wrote the same text, it is not known which of them was judged.
            judges_it = own == [stage.id] if one.samples is None else one.samples is stage
            if judges_it and stage.id in own:
                badge = Badge(one.stage.id, verdict["result"], verdict["flip"])
                badges.setdefault(id_, []).append(badge)
                results[id_] = verdict["result"]
    answers = {s["prompt_id"]: _answer(s, badges.get(s["prompt_id"], ())) for s in stage.samples}
    return Author(title, answers, results)


def _answer(sample: SampleLine, badges: Sequence[Badge]) -> Answer:
    return Answer(sample["completion"], sample["tokens"], sample.get("finish", ""), badges)


def run_samples(
    stages: Sequence[StageData],
    authors: Mapping[str, Author],
    pair: tuple[StageData, StageData] | None,
    count: int,
) -> Samples | None:
    """Returns the answers side by side: before, after and the target; other stages are folded.

    Args:
        stages: The stages of the run.
        authors: The result of `run_authors`.
        pair: The result of `sampling_pair`.
        count: Largest number of prompts for each filter.
    """
    sampled = [stage for stage in stages if stage.samples]
    if not sampled or count == 0:
        return None
    main = [authors[stage.id] for stage in (pair or sampled[-1:])]
    shown = [*main, *([authors[TARGET]] if TARGET in authors else [])]
    further = [author for author in authors.values() if author not in shown]
    both = (main[0], main[1]) if pair else None
    return answer_cards(_prompts(sampled), shown, further, both, count)


def _prompts(sampled: Sequence[StageData]) -> dict[str, Prompt]:
    return {s["prompt_id"]: s["prompt"] for stage in sampled for s in stage.samples}


def change_of(before: Author, after: Author) -> Change:
    """Returns how the answers changed between two authors."""
    shared = [id_ for id_ in before.answers if id_ in after.answers]
    moves = [(before.results.get(id_), after.results.get(id_)) for id_ in shared]
    return Change(
        before=before.title,
        after=after.title,
        shared=len(shared),
        changed=sum(before.answers[id_].text != after.answers[id_].text for id_ in shared),
        won=moves.count(("loss", "win")),
        lost=moves.count(("win", "loss")),
    )
