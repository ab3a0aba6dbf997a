"""Which assistant turns of conversations are learned, and which stand in prompts alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from halo_core.completion import Completion, completions_in
from halo_core.feedback import further_fields, prompt_id


@dataclass(frozen=True)
class LearnedTurns:
    """Numbers of assistant turns, each conversation's turn counted once.

    Attributes:
        learned: That are the completion of a row.
        history: That stand in the prompts of rows and are the completion of none.
    """

    learned: int
    history: int


def learned_turns(rows: Iterable[Mapping[str, Any]]) -> LearnedTurns:
    """Returns how many assistant turns are learned, and how many only stand before others.

    Args:
        rows: Rows with a prompt, and with their `prompt_id`.
    """
    learned: set[tuple[str, int]] = set()
    history: set[tuple[str, int]] = set()
    for row in rows:
        learned |= {(row["prompt_id"], hash(each.key)) for each in completions_in(row)}
        prompt = row["prompt"]
        for at, message in enumerate(prompt):
            if message["role"] == "assistant":
                said = Completion(message["content"], further_fields(message) or None)
                history.add((prompt_id(prompt[:at], row.get("tools")), hash(said.key)))
    return LearnedTurns(len(learned), len(history - learned))
