"""Selects the prompts of a data set to sample, and the people's answers to them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

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


def select_prompts(data: DataSet, n: int | None, seed: int) -> list[SamplePrompt]:
    """Returns the first `n` distinct prompts of a data set, in an order drawn from the seed.

    The order does not depend on the order of the rows, and a larger `n` only adds prompts.

    Raises:
        DataError: When the data are raw text, which has no prompts.
    """
    if data.feedback == "text":
        raise DataError(
            "is raw text, which has no prompts; expected prompts alone, demonstrations, binary, "
            "paired or scored feedback. Name another set under `prompts`",
            location=f"data set {data.name!r}",
        )
    ids = {row["prompt_id"] for row in data.select(("prompt_id",))}
    chosen = sorted(ids, key=lambda id_: _order(seed, id_))[:n]
    prompts: dict[str, SamplePrompt | None] = dict.fromkeys(chosen)
    for row in data:
        id_ = row["prompt_id"]
        if id_ not in prompts:
            continue
        known = prompts[id_]
        if known is None or known.target is None:
            target = target_of(row, data.feedback)
            prompts[id_] = SamplePrompt(id_, row["prompt"], target, row.get("tools") or None)
    return [prompt for prompt in prompts.values() if prompt is not None]


def prompts_to_answer(
    data: DataSet, n: int | None, seed: int, warn: Callable[[str], None]
) -> list[SamplePrompt]:
    """Returns the prompts of `select_prompts`, and warns if there are fewer than `n`."""
    prompts = select_prompts(data, n, seed)
    if n is not None and len(prompts) < n:
        there = f"the data have {len(prompts):,} distinct prompts"
        warn(f"n is {n:,}, but {there}, so that fewer are answered")
    return prompts


def _order(seed: int, prompt_id: str) -> bytes:
    return hashlib.sha256(f"order/{seed}/{prompt_id}".encode()).digest()


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
