"""In which order two texts are shown, and what the verdicts on both orders mean together.

Judges favour a place: in AlpacaEval 2 a model's win rate is 8 points lower when it is shown
first. Asking in both orders shows this bias (a flip) and takes it out of the result (a tie).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from halo_core.judge import Comparison, Verdict, Winner
from halo_judge.judge_stage.duels import Duel
from halo_statistics.win_rate import Result

Order = Literal["AB", "BA"]
"""In AB the completion is shown first, in BA the baseline."""

BOTH: tuple[Order, Order] = ("AB", "BA")


@dataclass(frozen=True)
class Ruling:
    """What the verdicts on all orders of a duel mean together.

    Attributes:
        result: Of the completion; a win is one in every order that was asked.
        flip: Whether the two orders preferred different texts.
    """

    result: Result
    flip: bool = False


def assign_orders(duels: Sequence[Duel], *, both: bool) -> dict[str, tuple[Order, ...]]:
    """Returns prompt id to the orders in which its duel is judged.

    Two identical texts are not judged at all. Counterbalanced orders depend on the prompts only,
    so that two models judged on the same prompts are shown in the same places.

    Args:
        duels: All duels of the stage.
        both: Both orders for each; else each order for one half, by the order of prompt ids.
    """
    different = [duel.prompt_id for duel in duels if duel.completion != duel.baseline]
    orders: dict[str, tuple[Order, ...]] = {duel.prompt_id: () for duel in duels}
    # By id and not by place in the file: another model's samples may come in another order.
    for place, id_ in enumerate(sorted(different)):
        orders[id_] = BOTH if both else (BOTH[place % 2],)
    return orders


def comparison(duel: Duel, order: Order) -> Comparison:
    """Returns what the judge is shown."""
    texts = (duel.completion, duel.baseline)
    a, b = texts if order == "AB" else texts[::-1]
    return Comparison(comparison_id(duel, order), duel.prompt, a, b)


def comparisons(duels: Sequence[Duel], orders: Mapping[str, Sequence[Order]]) -> list[Comparison]:
    """Returns what the judge is shown of some duels, all in all.

    Args:
        duels: What is judged.
        orders: Prompt id to the orders in which it is judged.
    """
    return [comparison(duel, order) for duel in duels for order in orders[duel.prompt_id]]


def comparison_id(duel: Duel, order: Order) -> str:
    """Returns the name of a duel in one order."""
    return f"{duel.prompt_id}-{order}"


def result_of(winner: Winner | None, order: Order) -> Result:
    """Returns what a verdict on one order means for the completion.

    Args:
        winner: The text that the judge preferred, by its place; None without a verdict.
        order: In which the texts were shown.
    """
    if winner is None:
        return "unscored"
    if winner == "tie":
        return "tie"
    return "win" if winner == order[0] else "loss"


def combine(results: Sequence[Result]) -> Ruling:
    """Returns the ruling that the results of a duel's orders make together.

    ======================  ==================
    both orders say         result
    ======================  ==================
    nothing was asked       tie (same texts)
    win and win             win
    loss and loss           loss
    win and loss            tie, a flip
    tie and anything        tie
    unscored and anything   unscored
    ======================  ==================

    >>> combine(["win", "loss"])
    Ruling(result='tie', flip=True)
    """
    if "unscored" in results:  # Half an answer would carry the bias that the other half takes out.
        return Ruling("unscored")
    distinct = set(results)
    if len(distinct) == 1:
        return Ruling(results[0])
    return Ruling("tie", flip=distinct == {"win", "loss"})


def rule(duel: Duel, orders: Sequence[Order], verdicts: Mapping[str, Verdict]) -> Ruling:
    """Returns the ruling on a duel.

    Args:
        duel: What was judged.
        orders: In which orders.
        verdicts: Comparison id to verdict, for each of the orders.
    """
    winners = [(verdicts[comparison_id(duel, order)].winner, order) for order in orders]
    return combine([result_of(winner, order) for winner, order in winners])
