"""Calibration: if a judge says that it is 80 % sure, is it right in 80 of 100 cases?"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from math import fsum

from halo_statistics.intervals import Proportion, proportion


@dataclass(frozen=True)
class CalibrationBin:
    """The comparisons whose preferences are in one range.

    Attributes:
        low: Lower end of the range.
        high: Upper end of the range. It belongs to the next range; 1 belongs to the last range.
        n: Number of comparisons, at least 1.
        mean_preference: Mean preference that the judge gave.
        observed: Mean outcome, with its exact interval.
    """

    low: float
    high: float
    n: int
    mean_preference: float
    observed: Proportion


@dataclass(frozen=True)
class Calibration:
    """How well a judge's certainty matches how often it is right.

    Attributes:
        bins: The bins that are not empty, from low to high.
        expected_error: Mean distance between preference and outcome over the bins, weighted by `n`.
        brier: Mean squared distance between preference and outcome. A judge that always says 0.5
            gets 0.25 (less with ties).
        n: Number of comparisons.
    """

    bins: tuple[CalibrationBin, ...]
    expected_error: float
    brier: float
    n: int


def calibration(
    preferences: Sequence[float],
    outcomes: Sequence[float],
    bins: int = 10,
    *,
    confidence: float = 0.9,
) -> Calibration:
    """Returns how a judge's weighted verdicts compare with the true outcomes.

    The expected calibration error depends on the number of bins. It is above 0 by chance alone if
    bins contain few comparisons, so read it together with the intervals of the bins.

    Args:
        preferences: How sure the judge is that a text is the better one, in [0, 1].
        outcomes: 1 if the text is better (by people's labels), 0 if it is not, 0.5 for a tie.
        bins: Number of ranges of equal width that [0, 1] is divided into, at least 1.
        confidence: Coverage probability of the bins' intervals, in (0, 1).

    Raises:
        ValueError: When the lists are empty or differ in length, or a value is out of its range.

    References:
        Naeini, Cooper and Hauskrecht 2015, "Obtaining well calibrated probabilities using
        Bayesian binning"; Brier 1950, "Verification of forecasts expressed in terms of
        probability".

    >>> found = calibration([0.9, 0.8, 0.2, 0.7], [1, 1, 0, 0], bins=2)
    >>> [(b.n, round(b.mean_preference, 2), round(b.observed.rate, 2)) for b in found.bins]
    [(1, 0.2, 0.0), (3, 0.8, 0.67)]
    >>> round(found.expected_error, 3), round(found.brier, 3)
    (0.15, 0.145)
    """
    _check(preferences, outcomes, bins)
    # The edges are looked up: 15 / 22 * 22 is below 15 in floating point, so a product would choose
    # the bin below that edge.
    begins = [place / bins for place in range(bins)]
    grouped: dict[int, list[tuple[float, float]]] = {}
    for said, came in zip(preferences, outcomes, strict=True):
        grouped.setdefault(bisect_right(begins, said) - 1, []).append((said, came))
    parts = tuple(_bin(place, bins, grouped[place], confidence) for place in sorted(grouped))
    count = len(preferences)
    gaps = (part.n * abs(part.mean_preference - part.observed.rate) for part in parts)
    squares = ((said - came) ** 2 for said, came in zip(preferences, outcomes, strict=True))
    return Calibration(parts, fsum(gaps) / count, fsum(squares) / count, count)


def _bin(
    place: int, bins: int, pairs: Sequence[tuple[float, float]], confidence: float
) -> CalibrationBin:
    count = len(pairs)
    mean = fsum(said for said, _ in pairs) / count
    observed = proportion(fsum(came for _, came in pairs), count, confidence=confidence)
    return CalibrationBin(place / bins, (place + 1) / bins, count, mean, observed)


def _check(preferences: Sequence[float], outcomes: Sequence[float], bins: int) -> None:
    if not len(preferences) == len(outcomes) > 0:
        raise ValueError(
            "expected an outcome for each of at least one preference: "
            f"{len(preferences)} preferences, {len(outcomes)} outcomes"
        )
    strange = [number for number in (*preferences, *outcomes) if not 0 <= number <= 1]
    if strange:
        raise ValueError(f"expected preferences and outcomes between 0 and 1: {strange[0]!r}")
    if bins < 1:
        raise ValueError(f"expected at least one bin: {bins}")
