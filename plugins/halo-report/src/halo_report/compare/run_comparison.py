"""A complete comparison: judged models, tests, differing conditions and the conclusion."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from halo_core.overview.spec_difference import Difference, spec_differences
from halo_report.compare.conditions import Conditions, conditions_of, unlike_conditions
from halo_report.compare.judged_models import JudgedModel, baseline_of, read_judged_models
from halo_report.compare.pair_tests import LEVEL, ModelPair, pair_tests
from halo_report.read.run_data import gone_records

NAMED = 4
"""Largest number of pairs that are named one by one. For more, only their number is given."""


@dataclass(frozen=True)
class RunComparison:
    """The result of `halo compare`.

    Attributes:
        models: The judged models.
        conditions: The conditions under which each model was judged.
        baseline: The model that all are tested against; None if pairs are chosen otherwise.
        confidence: Confidence of every interval.
        pairs: The tests.
        unlike: One sentence for each condition that differs between models.
        left_out: One sentence for each cell of a suite without verdicts.
        unknown: A sentence about the runs whose record is gone, if there are any.
        differences: The differences between the runs' resolved specs.
        conclusion: The text that says what can and what cannot be concluded.
    """

    models: Sequence[JudgedModel]
    conditions: Sequence[Conditions]
    baseline: JudgedModel | None
    confidence: float
    pairs: Sequence[ModelPair]
    unlike: Sequence[str]
    left_out: Sequence[str]
    unknown: Sequence[str]
    differences: Sequence[Difference]
    conclusion: str


def compare_runs(
    names: Sequence[str],
    workspace: Path,
    *,
    judge_stage: str | None,
    baseline: str | None,
    confidence: float,
) -> RunComparison:
    """Returns the comparison of runs.

    Args:
        names: Runs, suites and ``RUN:STAGE``, as the command receives them.
        workspace: The workspace that contains them.
        judge_stage: The judge stage for names without one; None for the last stage of each run.
        baseline: The run that all others are tested against; None tests all pairs of few runs.
        confidence: Confidence of every interval, in (0, 1).

    Raises:
        PathError: When there is no such run or suite.
        UserError: When there are fewer than two judged models, or the baseline is none of them.
    """
    named = read_judged_models(names, workspace, judge_stage, confidence)
    models = named.models
    against = baseline_of(baseline, models, workspace) if baseline is not None else None
    pairs = pair_tests(models, against, confidence)
    unlike = unlike_conditions(models)
    return RunComparison(
        models=models,
        conditions=[conditions_of(model) for model in models],
        baseline=against,
        confidence=confidence,
        pairs=pairs,
        unlike=unlike,
        left_out=named.left_out,
        unknown=gone_records(model.run for model in models),
        differences=spec_differences({model.label: model.run.resolved for model in models}),
        conclusion=conclusion(pairs, alike=not unlike),
    )


def conclusion(pairs: Sequence[ModelPair], *, alike: bool) -> str:
    """Returns the text that says what can and what cannot be concluded.

    Args:
        pairs: The tests. A difference is significant at the 5 % level after Holm's correction.
        alike: Whether all models were sampled and judged in the same way.
    """
    if not pairs:
        return "Nothing can be concluded: no two of the runs have a scored comparison."
    shown = [pair for pair in pairs if pair.is_shown]
    parts = [_shown(shown, len(pairs)), _not_shown([pair for pair in pairs if pair not in shown])]
    text = "; ".join(part for part in parts if part)
    if not alike:
        text += "; they were not sampled and judged alike, and a difference may come from that"
    return f"{text}."


def _shown(pairs: Sequence[ModelPair], tests: int) -> str:
    how = f"{LEVEL * 100:g} % level" + (
        f", Holm's correction for {tests} tests" if tests > 1 else ""
    )
    if not pairs:
        return f"No difference is shown ({how})"
    if len(pairs) > NAMED:
        return f"{len(pairs)} of {tests} pairs differ ({how})"
    return f"{', '.join(_better(pair) for pair in pairs)} ({how})"


def _better(pair: ModelPair) -> str:
    better, worse = (pair.first, pair.second)
    if pair.difference < 0:
        better, worse = worse, better
    return f"{better.label} beats {worse.label} by {abs(pair.difference):.3f}"


def _not_shown(pairs: Sequence[ModelPair]) -> str:
    """Returns the part about pairs without a significant difference, which may still differ."""
    if not pairs:
        return ""
    if len(pairs) <= NAMED:
        return f"{', '.join(_open(pair) for pair in pairs)}"
    ends = [abs(end) for pair in pairs for end in (pair.low, pair.high) if end is not None]
    possible = f" (differences of up to {max(ends):.3f} remain possible)" if ends else ""
    return f"the other {len(pairs)} pairs do not differ significantly{possible}"


def _open(pair: ModelPair) -> str:
    names = f"{pair.first.label} and {pair.second.label} do not differ significantly"
    if pair.low is None or pair.high is None:
        return names
    return f"{names} ({pair.low:+.3f} to {pair.high:+.3f} remains possible)"
