"""Position bias: does the judge favour a position? Found from verdicts in both orders."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from halo_statistics.intervals import Proportion, proportion
from halo_statistics.significance import mcnemar_exact

FIRST_POINTS = {"A": 1.0, "tie": 0.5, "B": 0.0}
"""Points of a verdict for the text shown first. A is the position shown first, in either order."""


@dataclass(frozen=True)
class PositionBias:
    """A judge's position bias, from verdicts in both orders.

    Attributes:
        agreement: Share of prompts on which both orders give the same verdict on the texts.
        flips: Number of prompts on which the two orders prefer different texts, that is, the same
            position.
        first_shown: Share of the points that go to the text shown first. 0.5 without a bias.
        first_favoured: Number of prompts on which the first position got more than half the points.
        second_favoured: Number of prompts on which the second position got more than half.
        p: Two-sided p-value of the exact sign test that both positions are favoured equally often.
        n: Number of prompts.
    """

    agreement: float
    flips: int
    first_shown: Proportion
    first_favoured: int
    second_favoured: int
    p: float
    n: int


def position_bias(verdicts: Sequence[tuple[str, str]], *, confidence: float = 0.9) -> PositionBias:
    """Returns a judge's position bias, from its verdicts in both orders.

    ================  ==========  =====  ===================
    AB and BA say     they agree  flip   position favoured
    ================  ==========  =====  ===================
    A, B or B, A      yes         no     none
    tie, tie          yes         no     none
    A, A              no          yes    first
    B, B              no          yes    second
    A, tie (any way)  no          no     first
    B, tie (any way)  no          no     second
    ================  ==========  =====  ===================

    The two verdicts on a prompt are not independent. So a prompt is one trial of the interval of
    `first_shown`, with the mean of its two points. This is cautious, because a judge without a
    position bias always gives each position one half. The test uses only prompts with a favoured
    position, and is the more sensitive of the two.

    Args:
        verdicts: The winners in order AB and in order BA, for each prompt. Winners are positions:
            ``"A"`` (shown first), ``"B"`` or ``"tie"``. Leave out unscored prompts.
        confidence: Confidence of the interval, in (0, 1).

    Raises:
        ValueError: When there are no verdicts, or one is none of the three.

    >>> bias = position_bias([("A", "B"), ("A", "A"), ("A", "A"), ("B", "tie")])
    >>> bias.agreement, bias.flips, bias.first_shown.rate
    (0.25, 2, 0.6875)
    """
    if len(verdicts) == 0:
        raise ValueError("expected verdicts on at least one prompt: got none")
    shares = [(first_points(ab) + first_points(ba)) / 2 for ab, ba in verdicts]
    first, second = sum(share > 0.5 for share in shares), sum(share < 0.5 for share in shares)
    count = len(verdicts)
    return PositionBias(
        agreement=(count - first - second) / count,
        flips=sum(share in (0.0, 1.0) for share in shares),
        first_shown=proportion(sum(shares), count, confidence=confidence),
        first_favoured=first,
        second_favoured=second,
        p=mcnemar_exact(first, second),
        n=count,
    )


def first_points(winner: str) -> float:
    """Returns the points of a verdict for the text shown first.

    Raises:
        ValueError: When it is none of ``"A"``, ``"B"`` and ``"tie"``.
    """
    if winner not in FIRST_POINTS:
        raise ValueError(f"unknown winner {winner!r}: expected 'A', 'B' or 'tie'")
    return FIRST_POINTS[winner]
