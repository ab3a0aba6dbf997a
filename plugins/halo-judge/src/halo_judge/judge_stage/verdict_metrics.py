"""The numbers and the headline of a judge stage: win rate, failures, judge biases, cost."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import fsum
from statistics import fmean, median

from halo_core.workspace.records import OrderVerdict, VerdictLine
from halo_statistics import (
    POINTS,
    Interval,
    WinRate,
    length_bias,
    length_controlled_rate,
    position_bias,
    rate_text,
    win_rate,
)
from halo_statistics.position import first_points

INTERVAL_NAMES: Mapping[Interval, str] = {
    "exact": "exact",
    "wilson": "Wilson",
    "bootstrap": "bootstrap",
}
ENOUGH = 30
"""Minimum number of scored verdicts for metrics of length."""


def summary_metrics(
    lines: Sequence[VerdictLine], *, confidence: float, interval: Interval = "exact"
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
        lines: All lines of the stage.
        confidence: Confidence level of the intervals, in (0, 1).
        interval: Method of the interval of `win`.
    """
    rate = _rate(lines, confidence, interval)
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
    metrics |= _flip(lines) | place_metrics(lines)
    metrics |= length_metrics(lines, confidence=confidence)
    return metrics | _lengths(lines) | _weighted(lines) | paid_requests(lines)


def headline(
    lines: Sequence[VerdictLine],
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
        lines: All lines of the stage.
        rival: The rival that was compared with.
        judge: The judge's name.
        confidence: Confidence level of the interval, in (0, 1).
        interval: Method of the interval.
    """
    rate = _rate(lines, confidence, interval)
    if rate.main is None:
        return f"no win rate against {rival}: {judge} scored none of {rate.total} comparisons"
    count = f"n={rate.scored}, {100 * rate.unscored / rate.total:.3g} % unscored"
    how = f"{INTERVAL_NAMES[interval]} {confidence * 100:g} % interval; {judge}"
    return f"win rate {rate_text(rate.main)} against {rival}, {count} ({how})"


def paid_requests(lines: Iterable[VerdictLine]) -> dict[str, float]:
    """Returns `calls` and `cost`; nothing without calls, and no cost if one is not known."""
    paid = [part for line in lines for part in line["orders"] if "calls" in part]
    if not paid:
        return {}
    calls = {"calls": sum(part["calls"] for part in paid)}
    costs = [part["cost"] for part in paid if "cost" in part]
    # A sum without unknown costs would look like the total cost.
    return calls | ({"cost": fsum(costs)} if len(costs) == len(paid) else {})


def _rate(lines: Iterable[VerdictLine], confidence: float, interval: Interval) -> WinRate:
    results = (line["result"] for line in lines)
    return win_rate(results, confidence=confidence, interval=interval)


def _scored(lines: Iterable[VerdictLine]) -> list[VerdictLine]:
    return [line for line in lines if line["result"] != "unscored"]


def _flip(lines: Iterable[VerdictLine]) -> dict[str, float]:
    flips = [line["flip"] for line in _scored(lines) if len(line["orders"]) == 2]
    return {"flip": sum(flips) / len(flips)} if flips else {}


def _lengths(lines: Sequence[VerdictLine]) -> dict[str, float]:
    sides = {
        "len": [line["tokens"] for line in lines],
        "baseline_len": [line["baseline_tokens"] for line in lines],
    }
    known = {name: [t for t in tokens if t is not None] for name, tokens in sides.items()}
    return {name: float(median(t)) for name, t in known.items() if t and len(t) == len(lines)}


def _weighted(lines: Iterable[VerdictLine]) -> dict[str, float]:
    """Returns the mean certainty over the weighted verdicts that have one; same texts are 1/2."""
    scored = _scored(lines)
    known = [line for line in scored if all("preference" in part for part in line["orders"])]
    shares = [completion_preference(line["orders"]) if line["orders"] else 0.5 for line in known]
    asked = any(line["orders"] for line in known)
    return {"win_weighted": fmean(shares)} if asked else {}


def completion_preference(orders: Iterable[OrderVerdict]) -> float:
    """Returns the judge's mean certainty that the completion is better; all orders have one."""
    return fmean(
        part["preference"] if part["order"] == "AB" else 1 - part["preference"] for part in orders
    )


def place_metrics(lines: Sequence[VerdictLine]) -> dict[str, float]:
    """Returns `first_shown` and, for prompts judged in both orders, `agreement`.

    Args:
        lines: All lines of the stage. Unscored lines are left out.
    """
    winners_of_lines = [_winners(line) for line in _scored(lines)]
    asked = [winner for winners in winners_of_lines for winner in winners]
    twice = [(winners[0], winners[1]) for winners in winners_of_lines if len(winners) == 2]
    metrics = {"first_shown": fmean(map(first_points, asked))} if asked else {}
    return metrics | ({"agreement": position_bias(twice).agreement} if twice else {})


def _winners(line: VerdictLine) -> list[str]:
    """Returns the winning position of each order. If there are two orders, the first is AB."""
    return [part["winner"] for part in line["orders"] if part["winner"] is not None]


def length_metrics(lines: Sequence[VerdictLine], *, confidence: float) -> dict[str, float]:
    """Returns the length-controlled win rate (halo) with its interval, and `length_bias`.

    Lengths are in characters, which are known for both sides. Returns nothing with fewer than
    `ENOUGH` scored verdicts, or if all completions differ from their baselines by the same length.

    Args:
        lines: All lines of the stage; unscored ones are left out.
        confidence: Confidence level of the interval, in (0, 1).
    """
    scored = _scored(lines)
    ours = [len(line["completion"]) for line in scored]
    theirs = [len(line["baseline"]) for line in scored]
    if len(scored) < ENOUGH or len({a - b for a, b in zip(ours, theirs, strict=True)}) == 1:
        return {}
    points = [POINTS[line["result"]] for line in scored]
    controlled = length_controlled_rate(points, ours, theirs, confidence=confidence)
    return {
        "win_lc": controlled.rate,
        "win_lc_lo": controlled.low,
        "win_lc_hi": controlled.high,
        "length_bias": length_bias(points, ours, theirs).correlation,
    }
