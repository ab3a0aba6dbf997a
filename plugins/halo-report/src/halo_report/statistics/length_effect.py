"""Does the longer text win? An association: good writing may cause it as well as bad judging."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from halo_report.statistics.intervals import Proportion, check_points, proportion


@dataclass(frozen=True)
class LengthBias:
    """How points go with lengths.

    Attributes:
        longer: Share of the points that go to the longer text, among comparisons of texts of
            different lengths; 0.5 where length does not matter. None without such comparisons.
        correlation: Spearman's rank correlation of a comparison's points with the completion's
            length less the baseline's, in [-1, 1]; 0 where either never varies.
        n: Comparisons.
    """

    longer: Proportion | None
    correlation: float
    n: int


def length_bias(
    points: Sequence[float],
    lengths: Sequence[float],
    baseline_lengths: Sequence[float],
    *,
    confidence: float = 0.9,
) -> LengthBias:
    """Returns how far wins go with length.

    `longer` also moves when one side is both better and longer; `correlation` compares the
    model's comparisons with each other, so that it does not. Neither tells what is the cause:
    a longer answer may be longer because the question allowed a good one.

    Args:
        points: 1 for a win, 0.5 for a tie, 0 for a loss; those of the unscored are left out.
        lengths: Of the completions, in any unit, at least 0.
        baseline_lengths: Of what they were compared with, in the same unit.
        confidence: Of the interval, in (0, 1).

    Raises:
        ValueError: When the lists are empty or differ in length, or a value is out of its range.

    >>> found = length_bias([1, 1, 0, 0.5], [30, 25, 10, 20], [20, 20, 20, 20])
    >>> found.longer.points, found.longer.trials, found.correlation > 0.9
    (3.0, 3, True)
    """
    from scipy.stats import spearmanr

    gaps = length_gaps(points, lengths, baseline_lengths)
    to_longer = [p if gap > 0 else 1 - p for p, gap in zip(points, gaps, strict=True) if gap]
    varies = len(set(points)) > 1 and len(set(gaps)) > 1
    return LengthBias(
        longer=(
            proportion(float(sum(to_longer)), len(to_longer), confidence=confidence)
            if to_longer
            else None
        ),
        correlation=float(spearmanr(points, gaps).statistic) if varies else 0.0,
        n=len(points),
    )


def length_gaps(
    points: Sequence[float], lengths: Sequence[float], baseline_lengths: Sequence[float]
) -> list[float]:
    """Returns how much longer each completion is than its baseline.

    Raises:
        ValueError: When the lists are empty or differ in length, or a value is out of its range.
    """
    check_points(points)
    if not len(points) == len(lengths) == len(baseline_lengths):
        raise ValueError(
            "expected two lengths for each comparison: "
            f"{len(points)} points, {len(lengths)} lengths, {len(baseline_lengths)} of baselines"
        )
    strange = [each for each in (*lengths, *baseline_lengths) if not 0 <= each < float("inf")]
    if strange:
        raise ValueError(f"expected lengths of at least 0: {strange[0]!r}")
    return [ours - theirs for ours, theirs in zip(lengths, baseline_lengths, strict=True)]
