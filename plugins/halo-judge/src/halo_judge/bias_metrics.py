"""What a stage's verdicts say about its judge: does it go by the place, or by the length?"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from halo_core.workspace.records import VerdictLine
from halo_statistics import POINTS, length_bias, length_controlled_rate, position_bias
from halo_statistics.position import first_points

ENOUGH = 30
"""Scored verdicts from which on lengths are looked at."""


def place_metrics(records: Sequence[VerdictLine]) -> dict[str, float]:
    """Returns `first_shown` and, for prompts judged in both orders, `agreement`.

    Args:
        records: All lines of the stage; unscored ones are left out.
    """
    said = [_winners(record) for record in records if record["result"] != "unscored"]
    asked = [winner for winners in said for winner in winners]
    twice = [(winners[0], winners[1]) for winners in said if len(winners) == 2]
    metrics = {"first_shown": fmean(map(first_points, asked))} if asked else {}
    return metrics | ({"agreement": position_bias(twice).agreement} if twice else {})


def _winners(record: VerdictLine) -> list[str]:
    """Returns the winning place of each order; the first order is always AB where there are two."""
    return [said["winner"] for said in record["orders"] if said["winner"] is not None]


def length_metrics(records: Sequence[VerdictLine], *, confidence: float) -> dict[str, float]:
    """Returns the length-controlled win rate (halo) with its interval, and `length_bias`.

    Lengths are characters, which are known of both sides. There are none with fewer than
    `ENOUGH` scored verdicts, nor where each completion is as much longer as every other.

    Args:
        records: All lines of the stage; unscored ones are left out.
        confidence: Of the interval, in (0, 1).
    """
    scored = [record for record in records if record["result"] != "unscored"]
    ours = [len(record["completion"]) for record in scored]
    theirs = [len(record["baseline"]) for record in scored]
    if len(scored) < ENOUGH or len({a - b for a, b in zip(ours, theirs, strict=True)}) == 1:
        return {}
    points = [POINTS[record["result"]] for record in scored]
    found = length_controlled_rate(points, ours, theirs, confidence=confidence)
    return {
        "win_lc": found.rate,
        "win_lc_lo": found.low,
        "win_lc_hi": found.high,
        "length_bias": length_bias(points, ours, theirs).correlation,
    }
