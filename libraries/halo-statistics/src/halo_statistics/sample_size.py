"""Sample sizes: how many prompts to judge."""

from __future__ import annotations

from collections.abc import Callable

from halo_statistics.intervals import check_confidence, exact_ends

NEGLIGIBLE = 1e-12
"""Outcomes whose total probability is below this number are not summed."""


def interval_half_width(trials: int, *, rate: float = 0.5, confidence: float = 0.9) -> float:
    """Returns half the width of the exact interval at a rate.

    Args:
        trials: Number of comparisons, at least 1.
        rate: The win rate, in [0, 1]. One half gives the widest interval.
        confidence: Coverage probability of the interval, in (0, 1).

    Raises:
        ValueError: When an argument is out of its range.

    >>> round(100 * interval_half_width(512), 1)
    3.7
    """
    check_confidence(confidence)
    if trials < 1 or not 0 <= rate <= 1:
        raise ValueError(f"expected trials >= 1 and a rate from 0 to 1: {trials} at {rate}")
    low, high = exact_ends(rate * trials, trials, confidence)
    return (high - low) / 2


def sample_size(half_width: float, *, rate: float = 0.5, confidence: float = 0.9) -> int:
    """Returns the smallest number of comparisons whose exact interval is narrow enough.

    Args:
        half_width: Half the width of the interval, in (0, 0.5). For example, 0.037 is 3.7 points
            of a hundred.
        rate: The expected win rate, in [0, 1]. One half needs the most comparisons.
        confidence: Coverage probability of the interval, in (0, 1).

    Raises:
        ValueError: When an argument is out of its range.

    >>> sample_size(0.05), sample_size(0.05, rate=0.9)
    (289, 117)
    """
    if not 0 < half_width < 0.5:
        raise ValueError(f"expected a half-width between 0 and 0.5: {half_width}")
    return _fewest(
        lambda trials: interval_half_width(trials, rate=rate, confidence=confidence) <= half_width
    )


def paired_power(
    prompts: int, difference: float, disagreement: float, *, level: float = 0.05
) -> float:
    """Returns the chance that McNemar's exact test finds an existing difference.

    It sums over all outcomes. The number of prompts on which two models differ is binomial. Given
    that number, the number of prompts on which the first model is better is binomial too.

    Args:
        prompts: Number of prompts that both models are judged on, at least 1.
        difference: Share of prompts on which the first model is better, minus the share on which
            the second is better.
        disagreement: Share of prompts on which either model is better, in [abs(difference), 1] and
            above 0.
        level: Significance level of the test, in (0, 1).

    Raises:
        ValueError: When an argument is out of its range.
    """
    import numpy as np
    from scipy.stats import binom

    _check_pair(difference, disagreement)
    if prompts < 1 or not 0 < level < 1:
        raise ValueError(f"expected prompts >= 1 and a level between 0 and 1: {prompts}, {level}")
    ends = binom.ppf([NEGLIGIBLE, 1 - NEGLIGIBLE], prompts, disagreement)
    differ = np.arange(ends[0], ends[1] + 1)
    # The test rejects at up to `bound` prompts for either model: twice that tail is at most the
    # level.
    bound = binom.ppf(level / 2, differ, 0.5)
    bound = np.where(binom.cdf(bound, differ, 0.5) <= level / 2, bound, bound - 1)
    better = (1 + abs(difference) / disagreement) / 2
    powers = binom.cdf(bound, differ, 1 - better) + binom.cdf(bound, differ, better)
    chances = binom.pmf(differ, prompts, disagreement)
    return float(chances @ powers / chances.sum())


def paired_sample_size(
    difference: float, disagreement: float, *, power: float = 0.8, level: float = 0.05
) -> int:
    """Returns how many prompts two models must share for a test to find their difference.

    The power is that of McNemar's exact test, summed over all outcomes and not approximated. It
    grows with the number of prompts, except for small steps back. The returned number reaches the
    power, and one prompt less does not.

    Args:
        difference: The difference to find: the share of prompts on which one model is better, minus
            the share on which the other is better. It must not be 0. Without ties it is the
            difference of the win rates.
        disagreement: Share of prompts on which the points of the models differ, in
            [abs(difference), 1]. Take it from earlier verdicts on two similar models.
        power: Desired chance that the test finds the difference, in (0, 1).
        level: Significance level of the two-sided test, in (0, 1).

    Raises:
        ValueError: When an argument is out of its range.

    >>> paired_sample_size(0.1, 0.4), paired_sample_size(0.1, 0.2)
    (329, 168)
    """
    _check_pair(difference, disagreement)
    if difference == 0 or not 0 < power < 1 or not 0 < level < 1:
        raise ValueError(
            "expected a difference other than 0, a power and a level between 0 and 1: "
            f"{difference}, {power}, {level}"
        )
    return _fewest(
        lambda prompts: paired_power(prompts, difference, disagreement, level=level) >= power
    )


def _fewest(enough: Callable[[int], bool]) -> int:
    """Returns a number from 1 on that is enough while one less is not, found by bisection."""
    most = 1
    while not enough(most):
        most *= 2
    least = most // 2
    while most - least > 1:
        middle = (least + most) // 2
        least, most = (least, middle) if enough(middle) else (middle, most)
    return most


def _check_pair(difference: float, disagreement: float) -> None:
    if not abs(difference) <= disagreement <= 1 or disagreement == 0:
        raise ValueError(
            "expected a disagreement above 0, at most 1 and no less than the difference: "
            f"{disagreement} with a difference of {difference}"
        )
