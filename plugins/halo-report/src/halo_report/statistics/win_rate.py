"""Win rates with exact binomial intervals, and the ways of counting ties and failures.

A comparison ends as a win, a loss, a tie, or unscored. How the last two are counted changes the
number, so `WinRate` holds every reading that readers of such numbers ask for.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, get_args

Result = Literal["win", "loss", "tie", "unscored"]
RESULTS: tuple[Result, ...] = get_args(Result)


@dataclass(frozen=True)
class Proportion:
    """A share of points with its interval.

    Attributes:
        points: What was scored, in [0, trials]; a tie may be half a point.
        trials: Comparisons that it was scored in, at least 1.
        rate: ``points / trials``.
        low: Lower end of the interval.
        high: Upper end of the interval.
    """

    points: float
    trials: int
    rate: float
    low: float
    high: float


def proportion(points: float, trials: int, *, confidence: float = 0.9) -> Proportion:
    """Returns ``points / trials`` with the exact (Clopper-Pearson) binomial interval.

    The ends are quantiles of beta distributions, with ``alpha = 1 - confidence``::

        low  = Beta(points,     trials - points + 1) at alpha / 2      (0 where points = 0)
        high = Beta(points + 1, trials - points)     at 1 - alpha / 2  (1 where points = trials)

    For whole points this is the exact interval. For half points (ties) it is the same formula
    between two whole numbers, which is no longer a theorem: a tie varies less than a win or a
    loss would, and by enumeration the interval still covers at least as often as it claims (see
    the page on statistics).

    Args:
        points: In [0, trials].
        trials: At least 1.
        confidence: Probability that the interval covers, in (0, 1).

    Raises:
        ValueError: When an argument is out of its range.

    References:
        Clopper and Pearson 1934, "The use of confidence or fiducial limits illustrated in the
        case of the binomial"; in its beta form: Brown, Cai and DasGupta 2001, section 4.2.1.

    >>> share = proportion(340, 512)
    >>> [round(end - 0.5, 4) for end in (share.rate, share.low, share.high)]
    [0.1641, 0.1281, 0.1986]
    """
    from scipy.special import betaincinv

    if trials < 1 or not 0 <= points <= trials:
        raise ValueError(f"expected 0 <= points <= trials and trials >= 1: {points} of {trials}")
    if not 0 < confidence < 1:
        raise ValueError(f"expected a confidence between 0 and 1: {confidence}")
    tail = (1 - confidence) / 2
    missed = trials - points
    low = float(betaincinv(points, missed + 1, tail)) if points > 0 else 0.0
    high = float(betaincinv(points + 1, missed, 1 - tail)) if missed > 0 else 1.0
    return Proportion(points, trials, points / trials, low, high)


@dataclass(frozen=True)
class WinRate:
    """Counts of results, and the readings of them. A reading without comparisons is None.

    Attributes:
        wins: Comparisons won.
        losses: Comparisons lost.
        ties: Comparisons in which neither was better.
        unscored: Comparisons without a verdict (a judge that failed).
        confidence: Of every interval, in (0, 1).
    """

    wins: int
    losses: int
    ties: int
    unscored: int
    confidence: float = 0.9

    @property
    def scored(self) -> int:
        """Returns the comparisons with a verdict."""
        return self.wins + self.losses + self.ties

    @property
    def total(self) -> int:
        """Returns all comparisons."""
        return self.scored + self.unscored

    @property
    def main(self) -> Proportion | None:
        """Returns the headline: ties are half points, failures are left out."""
        return self._share(self.wins + self.ties / 2, self.scored)

    @property
    def failures_lost(self) -> Proportion | None:
        """Returns the reading of the report: ties are half points, failures are losses."""
        return self._share(self.wins + self.ties / 2, self.total)

    @property
    def ties_left_out(self) -> Proportion | None:
        """Returns wins among wins and losses."""
        return self._share(self.wins, self.wins + self.losses)

    @property
    def ties_lost(self) -> Proportion | None:
        """Returns wins among all scored comparisons: a tie counts as not won."""
        return self._share(self.wins, self.scored)

    def _share(self, points: float, trials: int) -> Proportion | None:
        return proportion(points, trials, confidence=self.confidence) if trials else None


def win_rate(results: Iterable[Result], *, confidence: float = 0.9) -> WinRate:
    """Returns the win rate of a list of results.

    Args:
        results: One of ``"win"``, ``"loss"``, ``"tie"``, ``"unscored"`` per comparison.
        confidence: Of the intervals, in (0, 1).

    Raises:
        ValueError: When a result is none of the four.

    >>> rate = win_rate(["win", "win", "tie", "loss", "unscored"])
    >>> rate.main.rate, rate.failures_lost.rate, rate.ties_left_out.trials
    (0.625, 0.5, 3)
    """
    counts = Counter(results)
    strange = [result for result in counts if result not in RESULTS]
    if strange:
        raise ValueError(f"unknown result {strange[0]!r}: expected one of {', '.join(RESULTS)}")
    return WinRate(counts["win"], counts["loss"], counts["tie"], counts["unscored"], confidence)


def rate_text(share: Proportion) -> str:
    """Returns a share with its interval, as in ``0.595 [0.526, 0.661]``."""
    return f"{share.rate:.3f} [{share.low:.3f}, {share.high:.3f}]"
