"""Sentences about win rates: who won, by how much, and whether length explains it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from halo_statistics import POINTS, p_text, paired_difference
from halo_statistics.intervals import Proportion
from halo_statistics.win_rate import Result, rate_text

HALF = 0.5
Standing = Literal["better", "worse", "open"]
NO_CONTROL = "Not known: there is no length-controlled win rate"


def standing(share: Proportion) -> Standing:
    """Returns whether an interval of a win rate is above, below or around one half."""
    if share.low > HALF:
        return "better"
    return "worse" if share.high < HALF else "open"


def verdict_sentence(
    name: str, rival: str, share: Proportion | None, controlled: Proportion | None
) -> str:
    """Returns one sentence on a model against its rival, with both readings of the win rate.

    Args:
        name: The model.
        rival: Its rival in the comparisons.
        share: Its win rate; None if no comparison was scored.
        controlled: Its length-controlled win rate, or None.
    """
    if share is None:
        return f"No comparison of {name} with {rival} was scored."
    first = f"{_claim(name, rival, share)} with a win rate of {rate_text(share)}"
    if standing(share) == "open":
        first = f"{_claim(name, rival, share)}: the win rate is {rate_text(share)}"
    if controlled is None:
        return f"{first}."
    equal = f"{rate_text(controlled)} at equal lengths"
    if standing(controlled) == standing(share):
        return f"{first}, and {equal}."
    if standing(controlled) == "open":
        return f"{first}, but length may explain this: {equal}."
    return f"{first}, but at equal lengths it is {standing(controlled)}: {rate_text(controlled)}."


def _claim(name: str, rival: str, share: Proportion) -> str:
    verbs = {
        "better": f"{name} beats {rival}",
        "worse": f"{name} loses to {rival}",
        "open": f"{name} and {rival} do not differ clearly",
    }
    return verbs[standing(share)]


def length_answer(
    share: Proportion | None,
    controlled: Proportion | None,
    lengths: Mapping[str, float],
    bias: float | None = None,
) -> str:
    """Returns the answer to the question whether length explains a win rate.

    Args:
        share: The win rate.
        controlled: The length-controlled win rate, or None.
        lengths: Median lengths in tokens by name.
        bias: Rank correlation of points with the difference of lengths, or None.
    """
    medians = ", ".join(f"{name} {median:g}" for name, median in lengths.items())
    tokens = f" Median tokens: {medians}." if medians else ""
    if share is None or controlled is None:
        return f"{NO_CONTROL}.{tokens}"
    equal = f"at equal lengths the win rate is {rate_text(controlled)}"
    if standing(share) == standing(controlled):
        answer = f"No: {equal}, the same verdict."
    elif standing(controlled) == "open":
        answer = f"It may be: {equal}."
    else:
        answer = f"It hides the difference: {equal}."
    going = "" if bias is None else f" Points go with length by {bias:+.2f} (rank correlation)."
    return f"{answer}{tokens}{going}"


def difference_text(
    first: Mapping[str, Result], second: Mapping[str, Result], *, with_p: bool = True
) -> str:
    """Returns the difference of two models on the prompts that both have, or "" without prompts.

    Args:
        first: Results by prompt id.
        second: Results of the other model by prompt id.
        with_p: Whether to add the p-value of this difference alone.
    """
    points = [_points(first), _points(second)]
    if not points[0].keys() & points[1].keys():
        return ""
    paired = paired_difference(points[0], points[1])
    ends = f"{paired.difference:+.3f} [{paired.low:+.3f}, {paired.high:+.3f}]"
    return f"{ends} on {paired.n} prompts{f', {p_equals(paired.p)} (McNemar)' if with_p else ''}"


def p_equals(p: float) -> str:
    """Returns a p-value with its name, as in ``p = 0.012`` or ``p < 0.001``."""
    text = p_text(p)
    return f"p {text[0]} {text[1:]}" if text.startswith("<") else f"p = {text}"


def _points(results: Mapping[str, Result]) -> dict[str, float]:
    return {id_: POINTS[result] for id_, result in results.items() if result != "unscored"}
