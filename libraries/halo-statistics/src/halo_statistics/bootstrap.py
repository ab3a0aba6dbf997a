"""Bootstrap intervals, for a win rate and for other means over prompts."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from math import fsum
from typing import Any

from halo_statistics.clustered import grouped
from halo_statistics.intervals import (
    Proportion,
    check_confidence,
    check_points,
    exact_ends,
)

CELLS = 4_000_000
"""Largest count of numbers in a batch of resamples. It limits memory to about 100 MB."""


def bootstrap_rate(
    points: Sequence[float],
    *,
    clusters: Sequence[Hashable] | None = None,
    confidence: float = 0.9,
    resamples: int = 9999,
    seed: int = 0,
) -> Proportion:
    """Returns the share of points with its bootstrap interval (bias-corrected and accelerated).

    Whole clusters are drawn with replacement, so the interval is valid for several verdicts per
    prompt and for points of any size. Its coverage is about the stated confidence on average over
    true rates, but not for each of them; the page on statistics has the figures. If all clusters
    have the same mean, resampling shows no spread, and the interval is that of `constant_ends`.

    Args:
        points: 1 for a win, 0.5 for a tie, 0 for a loss. Leave out unscored comparisons.
        clusters: The cluster of each point, such as the id of its prompt. None makes each point a
            cluster of its own.
        confidence: Coverage probability of the interval, in (0, 1).
        resamples: Number of resamples, at least 1.
        seed: Random seed, at least 0. The same seed gives the same interval.

    Raises:
        ValueError: When the lists are empty or differ in length, or a value is out of its range.

    References:
        Efron 1987, "Better bootstrap confidence intervals".

    >>> share = bootstrap_rate([1.0] * 60 + [0.0] * 40)
    >>> share.rate, round(share.low, 2), round(share.high, 2)
    (0.6, 0.52, 0.68)
    """
    check_points(points)
    groups = grouped(points, range(len(points)) if clusters is None else clusters)
    rate = min(1.0, fsum(points) / len(points))
    low, high = bootstrap_ends(
        groups, (0.0, 1.0), confidence=confidence, resamples=resamples, seed=seed
    )
    return Proportion(fsum(points), len(points), rate, low, high)


def bootstrap_ends(
    groups: Sequence[Sequence[float]],
    bounds: tuple[float, float],
    *,
    confidence: float,
    resamples: int,
    seed: int,
) -> tuple[float, float]:
    """Returns the ends of the bootstrap interval of the mean of values in clusters.

    Args:
        groups: The values of each cluster. Clusters are drawn whole.
        bounds: The smallest and the largest possible value.
        confidence: Coverage probability of the interval, in (0, 1).
        resamples: Number of resamples, at least 1.
        seed: Random seed, at least 0.

    Raises:
        ValueError: When a value is out of its range.
    """
    import numpy as np
    from scipy.stats import bootstrap

    check_confidence(confidence)
    if resamples < 1 or seed < 0:
        raise ValueError(
            f"expected resamples >= 1 and a seed >= 0: {resamples} resamples, seed {seed}"
        )
    sums = np.array([fsum(group) for group in groups])
    sizes = np.array([float(len(group)) for group in groups])
    means = sums / sizes
    # Not exactly 0: equal means of clusters of different sizes may differ by rounding.
    if np.ptp(means) < 1e-12:
        return constant_ends(float(means[0]), len(groups), bounds, confidence)

    # A ratio of sums, because clusters differ in size: the mean of their means is another number.
    def mean(drawn: Any, of: Any, axis: int = -1) -> Any:
        return drawn.sum(axis=axis) / of.sum(axis=axis)

    interval = bootstrap(
        (sums, sizes),
        mean,
        paired=True,
        vectorized=True,
        confidence_level=confidence,
        n_resamples=resamples,
        batch=max(1, CELLS // len(groups)),
        method="BCa",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return float(interval.low), float(interval.high)


def constant_ends(
    value: float, count: int, bounds: tuple[float, float], confidence: float
) -> tuple[float, float]:
    """Returns an interval of the mean when all `count` values are the same.

    At the confidence of one end of the exact interval, other values have a share of at most
    ``s = 1 - (alpha / 2)^(1 / count)``. So the mean is at most this share of the way from the value
    to either bound. If all results are wins, or all are losses, this is the exact interval.

    Args:
        value: The value that was observed every time.
        count: Number of observations, at least 1.
        bounds: The smallest and the largest possible value.
        confidence: Coverage probability of the interval, in (0, 1).
    """
    _, share = exact_ends(0, count, confidence)
    least, most = bounds
    return value - share * (value - least), value + share * (most - value)
