"""A share of points with its interval: exact (Clopper-Pearson) or Wilson's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import NormalDist
from typing import Literal


@dataclass(frozen=True)
class Proportion:
    """A share of points with its interval.

    Attributes:
        points: Sum of the points, in [0, trials]. A tie may be half a point.
        trials: Number of comparisons, at least 1.
        rate: ``points / trials``.
        low: Lower end of the interval.
        high: Upper end of the interval.
    """

    points: float
    trials: int
    rate: float
    low: float
    high: float


def proportion(
    points: float,
    trials: int,
    *,
    confidence: float = 0.9,
    method: Literal["exact", "wilson"] = "exact",
) -> Proportion:
    """Returns ``points / trials`` with its interval.

    `exact` is the Clopper-Pearson interval. Its ends are quantiles of beta distributions, with
    ``alpha = 1 - confidence``::

        low  = Beta(points,     trials - points + 1) at alpha / 2      (0 where points = 0)
        high = Beta(points + 1, trials - points)     at 1 - alpha / 2  (1 where points = trials)

    Its coverage is at least the stated confidence, whatever the true rate. `wilson` inverts the
    test that uses the variance at the hypothesis: with ``z`` the normal quantile at
    ``1 - alpha / 2``, the ends are the solutions ``t`` of
    ``(rate - t)^2 = z^2 t (1 - t) / trials``. It is shorter, and its coverage is about the stated
    confidence on average over true rates, but not for each of them.

    For half points (ties), both use the same formulas between two whole numbers. This is no longer
    a theorem. But a tie varies less than a win or a loss, and enumeration shows that the exact
    interval still covers at least as often as stated (see the page on statistics).

    Args:
        points: Sum of the points, in [0, trials].
        trials: Number of comparisons, at least 1.
        confidence: Coverage probability of the interval, in (0, 1).
        method: ``"exact"`` or ``"wilson"``.

    Raises:
        ValueError: When an argument is out of its range.

    References:
        Clopper and Pearson 1934, "The use of confidence or fiducial limits illustrated in the
        case of the binomial"; in its beta form: Brown, Cai and DasGupta 2001, section 4.2.1.
        Wilson 1927, "Probable inference, the law of succession, and statistical inference".

    >>> share = proportion(340, 512)
    >>> [round(end - 0.5, 4) for end in (share.rate, share.low, share.high)]
    [0.1641, 0.1281, 0.1986]
    """
    if trials < 1 or not 0 <= points <= trials:
        raise ValueError(f"expected 0 <= points <= trials and trials >= 1: {points} of {trials}")
    check_confidence(confidence)
    if method not in ("exact", "wilson"):
        raise ValueError(f"unknown method {method!r}: expected 'exact' or 'wilson'")
    ends = exact_ends if method == "exact" else _wilson_ends
    return Proportion(points, trials, points / trials, *ends(points, trials, confidence))


def exact_ends(points: float, trials: float, confidence: float) -> tuple[float, float]:
    """Returns the ends of the exact interval, for any real numbers of points and trials.

    Args:
        points: Sum of the points, in [0, trials].
        trials: Number of trials, above 0. An effective number need not be whole.
        confidence: Coverage probability of the interval, in (0, 1).
    """
    from scipy.special import betaincinv

    tail = (1 - confidence) / 2
    missed = trials - points
    low = float(betaincinv(points, missed + 1, tail)) if points > 0 else 0.0
    high = float(betaincinv(points + 1, missed, 1 - tail)) if missed > 0 else 1.0
    return low, high


def _wilson_ends(points: float, trials: float, confidence: float) -> tuple[float, float]:
    z = normal_quantile(confidence)
    rate = points / trials
    middle = rate + z * z / (2 * trials)
    reach = z * sqrt(rate * (1 - rate) / trials + (z / (2 * trials)) ** 2)
    scale = 1 + z * z / trials
    # At the extremes an end is 0 or 1 by algebra, but rounding may change it.
    low = 0.0 if points == 0 else (middle - reach) / scale
    high = 1.0 if points == trials else (middle + reach) / scale
    return low, high


def normal_quantile(confidence: float) -> float:
    """Returns z such that a standard normal lies within [-z, z] with probability `confidence`."""
    return NormalDist().inv_cdf((1 + confidence) / 2)


def check_confidence(confidence: float) -> None:
    """Checks that a confidence is a probability.

    Raises:
        ValueError: When `confidence` is not in (0, 1).
    """
    if not 0 < confidence < 1:
        raise ValueError(f"expected a confidence between 0 and 1: {confidence}")


def check_points(points: Sequence[float]) -> None:
    """Checks that a list of points is not empty and that all points are valid.

    Raises:
        ValueError: When `points` is empty or one of them is not in [0, 1].
    """
    if len(points) == 0:
        raise ValueError("expected the points of at least one comparison: got none")
    strange = [point for point in points if not 0 <= point <= 1]
    if strange:
        raise ValueError(
            f"expected points from 0 (loss) to 1 (win): {strange[0]!r}. Leave out what is unscored"
        )
