"""Selects the prompts of a data set to sample, and the people's answers to them."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from halo_core.completion import Completion, completion_in, scored_completions
from halo_core.errors import DataError
from halo_core.feedback import Feedback, Prompt
from halo_core.rows import DataSet
from halo_models.conversation import Tools


@dataclass(frozen=True)
class SamplePrompt:
    """A prompt to answer.

    Attributes:
        id: Id of the prompt.
        prompt: The messages of the prompt.
        target: The demonstrated, chosen, best scored or first desirable completion of it in the
            data; None if there is none, or it has no text.
        tools: JSON schemas of the functions that the assistant may call; None if there are none.
    """

    id: str
    prompt: Prompt
    target: Completion | None
    tools: Tools | None = None


class SelectedPrompts:
    """Prompts of a data set that are read when they are needed. One takes 8 bytes of memory.

    Args:
        data: The data set.
        rows: The number of the row of each prompt.
    """

    def __init__(self, data: DataSet, rows: Sequence[int]) -> None:
        self._data = data
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[SamplePrompt]:
        return map(self.at, range(len(self)))

    def at(self, number: int) -> SamplePrompt:
        """Reads a prompt from its number, from 0."""
        row = self._data[self._rows[number]]
        target = target_of(row, self._data.feedback)
        return SamplePrompt(row["prompt_id"], row["prompt"], target, row.get("tools") or None)


def select_prompts(data: DataSet, n: int | None, seed: int) -> SelectedPrompts:
    """Returns the first `n` distinct prompts of a data set, in an order drawn from the seed.

    The order does not depend on the order of the rows, and a larger `n` only adds prompts. A prompt
    is that of its first row with a target; of its last row if none has one.

    Raises:
        DataError: When the data are raw text, which has no prompts.
    """
    if data.feedback == "text":
        raise DataError(
            "is raw text, which has no prompts; expected prompts alone, demonstrations, binary, "
            "paired or scored feedback. Name another set under `prompts`",
            location=f"data set {data.name!r}",
        )
    drawn, places = _drawn(data, seed)
    count = drawn if n is None else min(n, drawn)
    rows, done = array("Q", bytes(8 * count)), bytearray(count)
    for number, (place, row) in enumerate(zip(places, data, strict=True)):
        if place < count and not done[place]:
            rows[place] = number
            done[place] = target_of(row, data.feedback) is not None
    return SelectedPrompts(data, rows)


def prompts_to_answer(
    data: DataSet, n: int | None, seed: int, warn: Callable[[str], None]
) -> SelectedPrompts:
    """Returns the prompts of `select_prompts`, and warns if there are fewer than `n`."""
    prompts = select_prompts(data, n, seed)
    if n is not None and len(prompts) < n:
        there = f"the data have {len(prompts):,} distinct prompts"
        warn(f"n is {n:,}, but {there}, so that fewer are answered")
    return prompts


def _drawn(data: DataSet, seed: int) -> tuple[int, np.ndarray[Any, Any]]:
    """Returns the number of distinct prompts, and the place in their order of each row's prompt."""
    orders = bytearray()
    for row in data.select(("prompt_id",)):
        orders += _order(seed, row["prompt_id"])
    form = f"S{_ORDER_BYTES}"
    found = np.frombuffer(orders, form) if orders else np.empty(0, form)
    distinct, places = np.unique(found, return_inverse=True)
    return len(distinct), places


_ORDER_BYTES = 16
"""Two different prompts never have the same 128 bits of a digest."""


def _order(seed: int, prompt_id: str) -> bytes:
    return hashlib.sha256(f"order/{seed}/{prompt_id}".encode()).digest()[:_ORDER_BYTES]


def target_of(row: Mapping[str, Any], feedback: Feedback) -> Completion | None:
    """Returns the completion of a row for comparison with a model's answer.

    A completion without text, such as only tool calls, does not count.
    """
    said = _best(row, feedback)
    return said if said is not None and said.text.strip() else None


def _best(row: Mapping[str, Any], feedback: Feedback) -> Completion | None:
    match feedback:
        case "paired":
            return completion_in(row, "chosen")
        case "binary":
            return completion_in(row, "completion") if row["desirable"] else None
        case "scored":
            scores = row["scores"]
            best: int = scores.index(max(scores))
            return scored_completions(row)[best]
        case "prompts":
            return None
        case _:
            return completion_in(row, "completion")
