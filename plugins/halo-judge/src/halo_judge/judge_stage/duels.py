"""Duels: a completion and its baseline, the orders in which both are shown, and the winner.

Judges prefer a position: in AlpacaEval 2 a model's win rate is 8 points lower when it is shown
first. Asking in both orders shows this bias (a flip) and removes it from the result (a tie).
"""

from __future__ import annotations

import re
from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, ClassVar, Literal

import numpy as np

from halo_core.feedback import Prompt
from halo_core.judge import Comparison, Fields, Tools, Verdict, Winner
from halo_judge.judge_stage.on_disk import OnDisk, as_numbers
from halo_statistics.win_rate import Result

Order = Literal["AB", "BA"]
"""Order of the texts. In AB the completion is shown first, in BA the baseline."""

BOTH: tuple[Order, Order] = ("AB", "BA")


@dataclass(frozen=True)
class Duel:
    """A completion and the baseline that it is compared with.

    Attributes:
        prompt_id: Id of the prompt.
        prompt: The messages before both texts.
        completion: The text that is judged.
        baseline: The text that it is compared with.
        tokens: Length of the completion in tokens; None if not known.
        baseline_tokens: Length of the baseline in tokens; None if not known.
        tools: The tools that the prompt offers; None if it offers none.
        fields: Further fields of the completion's message, such as `tool_calls`; None if none.
        baseline_fields: Further fields of the baseline's message; None if none.
    """

    prompt_id: str
    prompt: Prompt
    completion: str
    baseline: str
    tokens: int | None
    baseline_tokens: int | None
    tools: Tools | None = None
    fields: Fields | None = None
    baseline_fields: Fields | None = None

    @property
    def is_of_one(self) -> bool:
        """Whether the completion and the baseline are the same."""
        same = (self.fields or None) == (self.baseline_fields or None)
        return same and self.completion == self.baseline

    @property
    def beside(self) -> dict[str, Any]:
        """The existing `tools` and fields, as columns of a line of verdicts."""
        columns = {
            "tools": self.tools,
            "completion_fields": self.fields,
            "baseline_fields": self.baseline_fields,
        }
        return {name: value for name, value in columns.items() if value}


class Orders(OnDisk[tuple[Order, ...]]):
    """The orders in which duels are judged, one byte for each duel.

    Args:
        codes: The place in `CHOICES` of each duel.
    """

    CHOICES: ClassVar[tuple[tuple[Order, ...], ...]] = ((), ("AB",), ("BA",), BOTH)

    def __init__(self, codes: bytearray) -> None:
        self._codes = codes

    def __len__(self) -> int:
        return len(self._codes)

    def at(self, number: int) -> tuple[Order, ...]:
        """Returns the orders of a duel from its number."""
        return self.CHOICES[self._codes[number]]


def assign_orders(duels: Iterable[Duel], *, both: bool) -> Orders:
    """Returns the orders in which each duel is judged.

    Two identical texts are not judged. Counterbalanced orders depend only on the prompts, so that
    two models judged on the same prompts have the same positions.

    Args:
        duels: All duels of the stage.
        both: Whether each duel has both orders; else half of the duels, by prompt id, has each.
    """
    if both:
        twice = Orders.CHOICES.index(BOTH)
        return Orders(bytearray(0 if duel.is_of_one else twice for duel in duels))
    codes, asked = bytearray(), array("Q")
    ids = _SortedIds()
    for number, duel in enumerate(duels):
        codes.append(0)
        if not duel.is_of_one:
            asked.append(number)
            ids.add(duel.prompt_id)
    # By id and not by place in the file, because another model's samples may have another order.
    for place, which in enumerate(ids.order()):
        codes[asked[which]] = 1 + place % 2
    return Orders(codes)


class _SortedIds:
    """Sorts the ids of prompts. Those of halo have 16 digits in base 16, and take 8 bytes each."""

    def __init__(self) -> None:
        self._numbers = array("Q")
        self._others: list[str] | None = None

    def add(self, id_: str) -> None:
        """Adds an id after the others."""
        if self._others is None and not _HEX.fullmatch(id_):
            self._others = [f"{number:016x}" for number in self._numbers]
        if self._others is None:
            self._numbers.append(int(id_, 16))
        else:
            self._others.append(id_)

    def order(self) -> Sequence[int]:
        """Returns the places of the ids, sorted by id."""
        if self._others is not None:
            return sorted(range(len(self._others)), key=self._others.__getitem__)
        if not self._numbers:
            return ()
        order = np.argsort(as_numbers(self._numbers), kind="stable")
        return array("q", order.tobytes())


_HEX = re.compile("[0-9a-f]{16}")


def comparison(duel: Duel, order: Order) -> Comparison:
    """Returns the comparison that the judge sees."""
    sides = ((duel.completion, duel.fields), (duel.baseline, duel.baseline_fields))
    (a, a_fields), (b, b_fields) = sides if order == "AB" else sides[::-1]
    id_ = comparison_id(duel, order)
    return Comparison(id_, duel.prompt, a, b, duel.tools, a_fields, b_fields)


class Comparisons(OnDisk[Comparison]):
    """All comparisons of some duels that the judge sees.

    Args:
        duels: The duels to judge.
        orders: The orders in which each duel is judged.
    """

    def __init__(self, duels: Sequence[Duel], orders: Sequence[Sequence[Order]]) -> None:
        self._duels = duels
        self._orders = orders
        self._ends: array[int] | None = None

    def __len__(self) -> int:
        return sum(map(len, self._orders))

    def __iter__(self) -> Iterator[Comparison]:
        for duel, orders in zip(self._duels, self._orders, strict=True):
            yield from (comparison(duel, order) for order in orders)

    def at(self, number: int) -> Comparison:
        """Returns a comparison from its number."""
        if self._ends is None:
            self._ends = array("Q", accumulate(map(len, self._orders)))
        duel = bisect_right(self._ends, number)
        # Counted from the end, because the first order of the duel is not known otherwise.
        return comparison(self._duels[duel], self._orders[duel][number - self._ends[duel]])


def comparison_id(duel: Duel, order: Order) -> str:
    """Returns the id of a duel in one order."""
    return f"{duel.prompt_id}-{order}"


@dataclass(frozen=True)
class Ruling:
    """The combined meaning of the verdicts on all orders of a duel.

    Attributes:
        result: The completion's result. A win means a win in every order that was asked.
        flip: Whether the two orders preferred different texts.
    """

    result: Result
    flip: bool = False


def result_of(winner: Winner | None, order: Order) -> Result:
    """Returns the completion's result from the verdict on one order.

    Args:
        winner: The position of the text that the judge preferred; None without a verdict.
        order: The order in which the texts were shown.
    """
    if winner is None:
        return "unscored"
    if winner == "tie":
        return "tie"
    return "win" if winner == order[0] else "loss"


def combine(results: Sequence[Result]) -> Ruling:
    """Returns the ruling that follows from the results of a duel's orders.

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
    if "unscored" in results:  # One order alone would keep the bias that the other order removes.
        return Ruling("unscored")
    distinct = set(results)
    if len(distinct) == 1:
        return Ruling(results[0])
    return Ruling("tie", flip=distinct == {"win", "loss"})


def rule(duel: Duel, orders: Sequence[Order], verdicts: Mapping[str, Verdict]) -> Ruling:
    """Returns the ruling on a duel.

    Args:
        duel: The duel.
        orders: The orders in which it was judged.
        verdicts: The verdict on each order, by comparison id.
    """
    winners = [(verdicts[comparison_id(duel, order)].winner, order) for order in orders]
    return combine([result_of(winner, order) for winner, order in winners])
