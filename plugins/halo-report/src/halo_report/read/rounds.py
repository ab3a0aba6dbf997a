"""The rounds of a run: the win rate after each of them, and their training as one curve."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from halo_report.read.judged_stages import JudgedStage
from halo_report.read.run_data import Curve, StageData


@dataclass(frozen=True)
class JudgedRounds:
    """The verdicts of one judge on the models of all rounds.

    Attributes:
        name: The id in the spec of the judge's stage.
        judged: The judged models by round. Round 0 is the model that the first round starts from.
    """

    name: str
    judged: Mapping[int, JudgedStage]


@dataclass(frozen=True)
class TrainedRounds:
    """The training of all rounds as one.

    Attributes:
        name: The id in the spec of the stage that trains.
        stages: The stages by round.
        begins: The number of optimiser steps before each round.
        curves: Values by metric over the steps of all rounds together.
    """

    name: str
    stages: Mapping[int, StageData]
    begins: Mapping[int, int]
    curves: Mapping[str, Curve]


def trained_rounds(stages: Sequence[StageData]) -> list[TrainedRounds]:
    """Returns the trainings of the rounds, in the order of the spec. Rounds to do are left out."""
    by_name: dict[str, dict[int, StageData]] = {}
    for stage in stages:
        if stage.round and stage.curves:
            by_name.setdefault(stage.repeats, {})[stage.round] = stage
    return [_joined(name, rounds) for name, rounds in by_name.items()]


def _joined(name: str, stages: Mapping[int, StageData]) -> TrainedRounds:
    begins: dict[int, int] = {}
    curves: dict[str, dict[int, float]] = {}
    done = 0
    for number, stage in sorted(stages.items()):
        begins[number] = done
        for metric, curve in stage.curves.items():
            moved = {done + step: value for step, value in curve.items()}
            curves.setdefault(metric, {}).update(moved)
        done += max(step for curve in stage.curves.values() for step in curve)
    return TrainedRounds(name, stages, begins, curves)


def judged_rounds(stages: Sequence[StageData], judged: Sequence[JudgedStage]) -> list[JudgedRounds]:
    """Returns the win rates over the rounds, for each judge and rival that judged a round.

    A model counts for the round that made it, also if its samples and its judge are outside of the
    rounds.

    Args:
        stages: The stages of a run.
        judged: The judged models of the run.
    """
    made = {stage.id: stage.round for stage in stages if stage.product == "model" and stage.round}
    firsts = (stage.start for stage in stages if made.get(stage.id) == 1)
    start = next(firsts, "")
    found: dict[str, dict[int, JudgedStage]] = {}
    for one in judged:
        model = one.samples.start if one.samples else ""
        numbers = {start: 0, **made, "": one.stage.round}
        if model in numbers and (numbers[model] or model) and one.rate.main is not None:
            found.setdefault(_judge_of(one), {}).setdefault(numbers[model], one)
    return [
        JudgedRounds(_name(rounds), dict(sorted(rounds.items())))
        for rounds in found.values()
        if any(rounds)
    ]


def _judge_of(one: JudgedStage) -> str:
    """Returns a text that is the same for stages with the same judge and the same rival."""
    options = {k: v for k, v in one.stage.options.items() if k != "of"}
    return json.dumps([options, one.stage.rival], sort_keys=True, default=str)


def _name(rounds: Mapping[int, JudgedStage]) -> str:
    last = rounds[max(rounds)].stage
    return last.repeats or last.id
