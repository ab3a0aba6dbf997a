"""The tests between judged models: their pairs, tests and intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from halo_report.compare.judged_models import JudgedModel
from halo_report.read.cell_matrix import JudgedCell
from halo_report.read.pairwise import PairTest, pair_test, with_holm
from halo_statistics import POINTS, paired_difference

FEW = 5
"""Largest number of models for testing all pairs. With more, each is tested against the first."""
LEVEL = 0.05
"""Significance level after Holm's correction."""


@dataclass(frozen=True)
class ModelPair:
    """Two judged models and the difference between them.

    Attributes:
        first: The first model.
        second: The second model.
        test: The test, corrected for all pairs together.
        difference: Win rate of the first minus win rate of the second, without failures. If prompts
            are paired it is over the prompts that both have, else over all prompts of each.
        low: Lower end of the difference's interval; None if prompts are not paired.
        high: Upper end of the difference's interval; None if prompts are not paired.
    """

    first: JudgedModel
    second: JudgedModel
    test: PairTest
    difference: float
    low: float | None
    high: float | None

    @property
    def is_shown(self) -> bool:
        """Whether the difference is significant after the correction."""
        return self.test.p_holm < LEVEL


def pair_tests(
    models: Sequence[JudgedModel], baseline: JudgedModel | None, confidence: float
) -> list[ModelPair]:
    """Returns the pairs with the baseline, or all pairs of few models, or the pairs with the first.

    Args:
        models: At least two models.
        baseline: A model of `models`, or None.
        confidence: Confidence of the intervals of differences, in (0, 1).
    """
    # If all comparisons of a model failed, it has no win rate to test.
    scored = [model for model in models if model.cell.rate and model.cell.rate.main]
    pairs = _pairs(scored, baseline)
    tests = with_holm([pair_test(a.cell, b.cell, "left out") for a, b in pairs])
    differences = [_difference(test, confidence) for test in tests]
    return [
        ModelPair(a, b, test, difference, low, high)
        for (a, b), test, (difference, low, high) in zip(pairs, tests, differences, strict=True)
    ]


def _pairs(
    models: Sequence[JudgedModel], baseline: JudgedModel | None
) -> list[tuple[JudgedModel, JudgedModel]]:
    if len(models) < 2 or (baseline is not None and baseline not in models):
        return []
    if baseline is None and len(models) <= FEW:
        return list(combinations(models, 2))
    against = baseline or models[0]
    return [(model, against) for model in models if model is not against]


def _difference(test: PairTest, confidence: float) -> tuple[float, float | None, float | None]:
    """Returns the difference over the prompts that both have, with its bootstrap interval."""
    if test.test != "mcnemar" or test.n == 0:
        return test.difference, None, None
    paired = paired_difference(_points(test.a), _points(test.b), confidence=confidence)
    return paired.difference, paired.low, paired.high


def _points(cell: JudgedCell) -> dict[str, float]:
    return {id_: POINTS[result] for id_, result in cell.results.items() if result != "unscored"}
