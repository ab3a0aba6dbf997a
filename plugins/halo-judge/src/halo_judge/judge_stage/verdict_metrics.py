"""The numbers and the headline of a judge stage: win rate, failures, judge biases, cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from halo_judge.judge_stage.verdict_numbers import VerdictNumbers
from halo_statistics import (
    Interval,
    length_bias,
    length_controlled_rate,
    rate_text,
)

INTERVAL_NAMES: Mapping[Interval, str] = {
    "exact": "exact",
    "wilson": "Wilson",
    "bootstrap": "bootstrap",
}
ENOUGH = 30
"""Minimum number of scored verdicts for metrics of length."""


def summary_metrics(
    found: VerdictNumbers, *, confidence: float, interval: Interval = "exact"
) -> dict[str, float]:
    """Returns the final numbers of the stage. Numbers without data are left out.

    ======================  ==========================================================
    `win`                   win rate: ties are half points, unscored ones are left out
    `win_lo`, `win_hi`      its interval
    `win_failures_lost`     win rate with the unscored ones as losses
    `n`                     scored comparisons
    `wins` `losses` `ties`  their parts
    `unscored`              comparisons without a verdict
    `flip`                  share of flips among those judged in both orders
    `agreement`             share of those in which both orders say the same
    `first_shown`           share of the points that go to the text shown first
    `win_lc`                length-controlled win rate (halo)
    `win_lc_lo` `win_lc_hi` its interval
    `length_bias`           rank correlation of points with length less the baseline's
    `len`, `baseline_len`   median length in tokens
    `win_weighted`          mean certainty that the completion is better, where it is known
    `unscored_share`        share of comparisons without a verdict
    `calls`, `cost`         paid requests for the verdicts, and their cost in dollars
    ======================  ==========================================================

    Args:
        found: The numbers of the stage's verdicts.
        confidence: Confidence level of the intervals, in (0, 1).
        interval: Method of the interval of `win`.
    """
    rate = found.rate(confidence, interval)
    metrics: dict[str, float] = {}
    if rate.main:
        metrics |= {"win": rate.main.rate, "win_lo": rate.main.low, "win_hi": rate.main.high}
    if rate.failures_lost:
        metrics["win_failures_lost"] = rate.failures_lost.rate
    metrics |= {
        "n": rate.scored,
        "wins": rate.wins,
        "losses": rate.losses,
        "ties": rate.ties,
        "unscored": rate.unscored,
    }
    metrics["unscored_share"] = rate.unscored / rate.total if rate.total else 0.0
    metrics |= found.flips() | found.places()
    lengths, rest = found.lengths(), found.weighted() | found.paid()
    metrics |= length_metrics(*found.points_and_lengths(), confidence=confidence)
    return metrics | lengths | rest


def headline(
    found: VerdictNumbers,
    *,
    rival: str,
    judge: str,
    confidence: float,
    interval: Interval = "exact",
) -> str:
    """Returns the sentence for the summary.

    ``win rate 0.595 [0.526, 0.661] against the SFT target, n=200, 0 % unscored (exact 90 %
    interval; oracle)``

    Args:
        found: The numbers of the stage's verdicts.
        rival: The rival that was compared with.
        judge: The judge's name.
        confidence: Confidence level of the interval, in (0, 1).
        interval: Method of the interval.
    """
    rate = found.rate(confidence, interval)
    if rate.main is None:
        return f"no win rate against {rival}: {judge} scored none of {rate.total} comparisons"
    count = f"n={rate.scored}, {100 * rate.unscored / rate.total:.3g} % unscored"
    how = f"{INTERVAL_NAMES[interval]} {confidence * 100:g} % interval; {judge}"
    return f"win rate {rate_text(rate.main)} against {rival}, {count} ({how})"


def length_metrics(
    points: Sequence[float], ours: Sequence[int], theirs: Sequence[int], *, confidence: float
) -> dict[str, float]:
    """Returns the length-controlled win rate (halo) with its interval, and `length_bias`.

    Lengths are in characters, which are known for both sides. Returns nothing with fewer than
    `ENOUGH` scored verdicts, or if all completions differ from their baselines by the same length.

    Args:
        points: The points of each scored verdict.
        ours: Lengths of the completions.
        theirs: Lengths of the baselines.
        confidence: Confidence level of the interval, in (0, 1).
    """
    if len(points) < ENOUGH or len({a - b for a, b in zip(ours, theirs, strict=True)}) == 1:
        return {}
    controlled = length_controlled_rate(points, ours, theirs, confidence=confidence)
    return {
        "win_lc": controlled.rate,
        "win_lc_lo": controlled.low,
        "win_lc_hi": controlled.high,
        "length_bias": length_bias(points, ours, theirs).correlation,
    }
