"""The interval of a win rate when a prompt has several verdicts.

Verdicts on the same prompt (from several samples, judges or seeds) are correlated. An interval that
treats them as independent is too short.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Sequence
from math import fsum, sqrt

from halo_statistics.intervals import (
    Proportion,
    check_confidence,
    check_points,
    exact_ends,
)


def clustered_rate(
    points: Sequence[float], clusters: Sequence[Hashable], *, confidence: float = 0.9
) -> Proportion:
    """Returns the share of points with an interval that accounts for clusters of verdicts.

    The method is Korn and Graubard's: the exact interval at an *effective* number of verdicts,
    which is the number of independent verdicts with the same information. With n verdicts in G
    clusters, the two standard errors of `standard_error` (each verdict alone; by clusters), and t
    the quantiles of Student's distribution at ``1 - alpha / 2``::

        effective = n * (alone / by clusters)^2 * (t[n - 1] / t[G - 1])^2 (at most n)

    With one verdict in each cluster this is `proportion`. If all points are equal, the correlation
    of verdicts is unknown, and each cluster counts as one verdict.

    Args:
        points: 1 for a win, 0.5 for a tie, 0 for a loss. Leave out unscored comparisons.
        clusters: The cluster of each point, such as the id of its prompt.
        confidence: Coverage probability of the interval, in (0, 1).

    Raises:
        ValueError: When the lists are empty or differ in length, or a value is out of its range.

    References:
        Korn and Graubard 1998, "Confidence intervals for proportions with small expected number
        of positive counts estimated from survey data".

    >>> alone = clustered_rate([1, 1, 0, 0], ["a", "b", "c", "d"])
    >>> twins = clustered_rate([1, 1, 0, 0], ["a", "a", "b", "b"])
    >>> alone.rate == twins.rate, alone.low > twins.low
    (True, True)
    """
    check_points(points)
    check_confidence(confidence)
    count = len(grouped(points, clusters))
    total = fsum(points)
    effective = _effective_trials(points, clusters, count, confidence)
    rate = min(1.0, total / len(points))
    ends = exact_ends(rate * effective, effective, confidence)
    return Proportion(total, len(points), rate, *ends)


def grouped(points: Sequence[float], clusters: Sequence[Hashable]) -> list[list[float]]:
    """Returns the points of each cluster, in the order in which clusters first appear.

    Raises:
        ValueError: When the lists differ in length.
    """
    if len(points) != len(clusters):
        raise ValueError(
            f"expected a cluster for each verdict: {len(points)} points, {len(clusters)} clusters"
        )
    groups = defaultdict(list)
    for point, cluster in zip(points, clusters, strict=True):
        groups[cluster].append(point)
    return list(groups.values())


def standard_error(points: Sequence[float], clusters: Sequence[Hashable] | None = None) -> float:
    """Returns the standard error of the mean of points, such as a win rate.

    It is ``sqrt(G / (G - 1) * sum over clusters of (sum of (x - mean) in it)^2) / n``. With one
    verdict in each cluster, this is the standard deviation (divided by n - 1) over the root of n.

    Args:
        points: 1 for a win, 0.5 for a tie, 0 for a loss. Leave out unscored comparisons.
        clusters: The cluster of each point. None makes each point a cluster of its own.

    Raises:
        ValueError: When the lists differ in length, a value is out of its range, or there are
            fewer than two clusters.

    >>> round(standard_error([1, 1, 0, 0]), 4), standard_error([1, 1, 0, 0], [1, 1, 2, 2])
    (0.2887, 0.5)
    """
    check_points(points)
    groups = grouped(points, range(len(points)) if clusters is None else clusters)
    count = len(groups)
    if count < 2:
        raise ValueError("expected at least two clusters, to see how they differ: got 1")
    mean = fsum(points) / len(points)
    squares = fsum(fsum(point - mean for point in group) ** 2 for group in groups)
    return sqrt(squares * count / (count - 1)) / len(points)


def _effective_trials(
    points: Sequence[float], clusters: Sequence[Hashable], count: int, confidence: float
) -> float:
    from scipy.special import stdtrit

    trials = len(points)
    if count == trials:
        return trials
    if count == 1 or max(points) == min(points):
        return count
    together, single = standard_error(points, clusters), standard_error(points)
    if together == 0:
        return trials
    tail = (1 + confidence) / 2
    freedom = stdtrit(trials - 1, tail) / stdtrit(count - 1, tail)
    # If cluster means vary less than by chance, the effective number still is at most n.
    return float(trials * min(1.0, (freedom * single / together) ** 2))
