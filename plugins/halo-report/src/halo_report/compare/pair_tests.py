"""The tests between judged models: which pairs, by which test, with which interval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from halo_report.compare.judged_models import JudgedModel
from halo_report.read.cell_matrix import JudgedCell
from halo_report.read.pairwise import PairTest, pair_test, with_holm
from halo_statistics import POINTS, paired_difference

FEW = 5
"""Models up to which all pairs are tested; of more, each against the first."""
LEVEL = 0.05
"""The level at which a difference counts as shown, after Holm's correction."""


@dataclass(frozen=True)
class ModelPair:
    """Two judged models and what is known of their difference.

    Attributes:
        first: The one whose win rate comes first in the difference.
        second: The other one.
        test: The test, corrected for all pairs together.
        difference: Win rate of the first less that of the second, failures left out: over the
            prompts that both have where these are paired, else over those of each.
        low: Lower end of the interval of the difference; None where prompts are not paired.
        high: Upper end.
    """

    first: JudgedModel
    second: JudgedModel
    test: PairTest
    difference: float
    low: float | None
    high: float | None

    @property
    def is_shown(self) -> bool:
        """Whether the difference is shown at the level, after the correction."""
        return self.test.p_holm < LEVEL


def pair_tests(
    models: Sequence[JudgedModel], baseline: JudgedModel | None, confidence: float
) -> list[ModelPair]:
    """Returns the pairs: all with the baseline, else all of a few, else all with the first.

    Args:
        models: At least two.
        baseline: One of them, or None.
        confidence: Confidence of the intervals of differences, in (0, 1).
    """
    # A model of which every comparison failed has no win rate to test.
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
    """Returns the difference with its bootstrap interval, over the prompts that both have."""
    if test.test != "mcnemar" or test.n == 0:
        return test.difference, None, None
    paired = paired_difference(_points(test.a), _points(test.b), confidence=confidence)
    return paired.difference, paired.low, paired.high


def _points(cell: JudgedCell) -> dict[str, float]:
    return {id_: POINTS[result] for id_, result in cell.results.items() if result != "unscored"}
