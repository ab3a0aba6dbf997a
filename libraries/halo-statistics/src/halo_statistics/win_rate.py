"""Win rates with their intervals, and the ways of counting ties and failures.

A comparison is a win, a loss, a tie, or unscored. How ties and unscored comparisons are counted
changes the number, so `WinRate` gives every common reading.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, get_args

from halo_statistics.bootstrap import bootstrap_rate
from halo_statistics.intervals import Proportion, proportion

Result = Literal["win", "loss", "tie", "unscored"]
RESULTS: tuple[Result, ...] = get_args(Result)

Interval = Literal["exact", "wilson", "bootstrap"]
INTERVALS: tuple[Interval, ...] = get_args(Interval)


@dataclass(frozen=True)
class WinRate:
    """Counts of results, and the readings computed from them. An empty reading is None.

    Attributes:
        wins: Number of comparisons won.
        losses: Number of comparisons lost.
        ties: Number of comparisons in which neither was better.
        unscored: Number of comparisons without a verdict (a judge that failed).
        confidence: Coverage probability of every interval, in (0, 1).
        interval: Method of the intervals.
    """

    wins: int
    losses: int
    ties: int
    unscored: int
    confidence: float = 0.9
    interval: Interval = "exact"

    @property
    def scored(self) -> int:
        """Returns the number of comparisons with a verdict."""
        return self.wins + self.losses + self.ties

    @property
    def total(self) -> int:
        """Returns the number of all comparisons."""
        return self.scored + self.unscored

    @property
    def main(self) -> Proportion | None:
        """Returns the main win rate: ties are half points, failures are left out."""
        return self._share(self.wins, self.ties, self.losses)

    @property
    def failures_lost(self) -> Proportion | None:
        """Returns the report's reading: ties are half points, failures are losses."""
        return self._share(self.wins, self.ties, self.losses + self.unscored)

    @property
    def ties_left_out(self) -> Proportion | None:
        """Returns the share of wins among wins and losses."""
        return self._share(self.wins, 0, self.losses)

    @property
    def ties_lost(self) -> Proportion | None:
        """Returns the share of wins among all scored comparisons, so that ties are not wins."""
        return self._share(self.wins, 0, self.losses + self.ties)

    def _share(self, wins: int, ties: int, losses: int) -> Proportion | None:
        trials = wins + ties + losses
        if not trials:
            return None
        if self.interval == "bootstrap":
            points = [1.0] * wins + [0.5] * ties + [0.0] * losses
            return bootstrap_rate(points, confidence=self.confidence)
        points_won = wins + ties / 2
        return proportion(points_won, trials, confidence=self.confidence, method=self.interval)


def win_rate(
    results: Iterable[Result], *, confidence: float = 0.9, interval: Interval = "exact"
) -> WinRate:
    """Returns the win rate of a list of results.

    Args:
        results: Either ``"win"``, ``"loss"``, ``"tie"``, ``"unscored"`` per comparison.
        confidence: Coverage probability of the intervals, in (0, 1).
        interval: ``"exact"``, ``"wilson"`` (see `proportion`) or ``"bootstrap"`` (see
            `bootstrap_rate`; its seed is 0).

    Raises:
        ValueError: When a result is not one of the four, or the interval not one of the three.

    >>> rate = win_rate(["win", "win", "tie", "loss", "unscored"])
    >>> rate.main.rate, rate.failures_lost.rate, rate.ties_left_out.trials
    (0.625, 0.5, 3)
    """
    counts = Counter(results)
    strange = [result for result in counts if result not in RESULTS]
    if strange:
        raise ValueError(f"unknown result {strange[0]!r}: expected one of {', '.join(RESULTS)}")
    if interval not in INTERVALS:
        raise ValueError(f"unknown interval {interval!r}: expected one of {', '.join(INTERVALS)}")
    return WinRate(
        counts["win"], counts["loss"], counts["tie"], counts["unscored"], confidence, interval
    )


def rate_text(share: Proportion) -> str:
    """Returns a share with its interval, as in ``0.595 [0.526, 0.661]``."""
    return f"{share.rate:.3f} [{share.low:.3f}, {share.high:.3f}]"
