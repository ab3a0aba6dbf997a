"""The judged models of one run: each judge stage with the model, the samples and the rival."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from halo_report.read.run_data import StageData
from halo_statistics.intervals import Proportion
from halo_statistics.win_rate import Result, WinRate, win_rate

TARGET = "target"


@dataclass(frozen=True)
class JudgedStage:
    """A judge stage and what it judged.

    Attributes:
        stage: The judge stage.
        name: The id of the judged model; the judge stage's id if the model is not known, or if
            several stages judged the model.
        rate: The counts and intervals.
        controlled: The length-controlled win rate, or None.
        samples: The stage that made the judged samples, or None if it is not known.
        rival: Name of what the samples were compared with, for readers.
    """

    stage: StageData
    name: str
    rate: WinRate
    controlled: Proportion | None
    samples: StageData | None
    rival: str

    @property
    def results(self) -> Mapping[str, Result]:
        """Returns the result of each prompt, by prompt id."""
        return {verdict["prompt_id"]: verdict["result"] for verdict in self.stage.verdicts}


def judged_stages(stages: Sequence[StageData]) -> list[JudgedStage]:
    """Returns the judge stages that have verdicts, in the order of the run."""
    by_id = {stage.id: stage for stage in stages}
    judged = [_judged(stage, by_id) for stage in stages if stage.verdicts]
    names = [one.name for one in judged]
    return [
        one if names.count(one.name) == 1 else replace(one, name=one.stage.id) for one in judged
    ]


def _judged(stage: StageData, by_id: Mapping[str, StageData]) -> JudgedStage:
    samples = by_id.get(stage.judged)
    return JudgedStage(
        stage=stage,
        name=(samples.start if samples else "") or stage.id,
        rate=win_rate(
            (verdict["result"] for verdict in stage.verdicts),
            confidence=stage.options.get("confidence", 0.9),
            interval=stage.options.get("interval", "exact"),
        ),
        controlled=length_controlled(stage.metrics),
        samples=samples,
        rival=_rival(stage.rival, by_id),
    )


def _rival(id_: str, by_id: Mapping[str, StageData]) -> str:
    if id_ in ("", TARGET):
        return "the target" if id_ else "its rival"
    return (by_id[id_].start if id_ in by_id else "") or id_


def length_controlled(metrics: Mapping[str, float]) -> Proportion | None:
    """Returns the length-controlled win rate among a judge stage's metrics, or None."""
    ends = [metrics.get(name) for name in ("win_lc", "win_lc_lo", "win_lc_hi")]
    if None in ends:
        return None
    rate, low, high = (float(end) for end in ends if end is not None)
    trials = int(metrics.get("n", 0))
    return Proportion(rate * trials, trials, rate, low, high)


def before_and_after(
    judged: Sequence[JudgedStage], stages: Sequence[StageData]
) -> tuple[JudgedStage | None, JudgedStage | None]:
    """Returns the judged model that training started from, and the last judged model.

    The first is the nearest judged ancestor of the last model. If its origin is not known, it is
    the model that was judged before it. Either is None if there is no such model.
    """
    if not judged:
        return None, None
    after = judged[-1]
    others = {one.name: one for one in judged[:-1]}
    by_id = {stage.id: stage for stage in stages}
    model, seen = by_id.get(after.name), {after.name}
    while model and model.start and model.start not in seen:
        if model.start in others:
            return others[model.start], after
        seen.add(model.start)
        model = by_id.get(model.start)
    return (judged[-2] if len(judged) > 1 else None), after
