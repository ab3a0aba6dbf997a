"""Two models judged on the same prompts: how much they differ, and whether they differ at all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import fsum

from halo_statistics.bootstrap import bootstrap_ends
from halo_statistics.intervals import check_points
from halo_statistics.significance import mcnemar_exact


@dataclass(frozen=True)
class PairedDifference:
    """The difference between two models on the prompts that both were judged on.

    Attributes:
        difference: Mean points of the first model minus those of the second, in [-1, 1].
        low: Lower end of its interval.
        high: Upper end of its interval.
        p: Two-sided p-value of McNemar's exact test (with ties: the sign test).
        first_better: Number of prompts on which the first model scored more.
        second_better: Number of prompts on which the second model scored more.
        n: Number of shared prompts.
    """

    difference: float
    low: float
    high: float
    p: float
    first_better: int
    second_better: int
    n: int


def paired_difference(
    first: Mapping[str, float],
    second: Mapping[str, float],
    *,
    confidence: float = 0.9,
    resamples: int = 9999,
    seed: int = 0,
) -> PairedDifference:
    """Returns the difference between two models' points over the prompts that both have.

    The interval is a paired bootstrap: prompts are drawn with replacement, each with both of its
    points, so differences between prompts cancel. The p-value answers another question: it counts
    only which model scored more, so with many ties the two may disagree in close cases. If the
    difference is the same on all prompts, resampling shows no spread, and the interval is that of
    `constant_ends`.

    Args:
        first: Points by prompt id (1 win, 0.5 tie, 0 loss). Leave out unscored prompts.
        second: Points of the other model by prompt id. Leave out unscored prompts.
        confidence: Coverage probability of the interval, in (0, 1).
        resamples: Number of resamples, at least 1.
        seed: Random seed, at least 0.

    Raises:
        ValueError: When no prompt is shared, or a value is out of its range.

    References:
        Efron 1987, "Better bootstrap confidence intervals"; McNemar 1947, "Note on the sampling
        error of the difference between correlated proportions or percentages".

    >>> found = paired_difference({"a": 1, "b": 1, "c": 0}, {"a": 0, "b": 1, "c": 0.5})
    >>> round(found.difference, 4), found.first_better, found.second_better, found.p
    (0.1667, 1, 1, 1.0)
    """
    # Sorted, so that the interval does not depend on the order of the mappings.
    pairs = [(first[id_], second[id_]) for id_ in sorted(first.keys() & second.keys())]
    if not pairs:
        raise ValueError(
            f"expected prompts that both were judged on: none of {len(first)} and {len(second)} "
            "is shared"
        )
    check_points([points for pair in pairs for points in pair])
    differences = [a - b for a, b in pairs]
    low, high = bootstrap_ends(
        [[difference] for difference in differences],
        (-1.0, 1.0),
        confidence=confidence,
        resamples=resamples,
        seed=seed,
    )
    first_better, second_better = sum(a > b for a, b in pairs), sum(b > a for a, b in pairs)
    return PairedDifference(
        difference=fsum(differences) / len(differences),
        low=low,
        high=high,
        p=mcnemar_exact(first_better, second_better),
        first_better=first_better,
        second_better=second_better,
        n=len(pairs),
    )
