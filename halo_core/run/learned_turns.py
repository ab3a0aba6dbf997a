"""Counts the assistant turns that are learned, and those that are only part of prompts."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from halo_core.completion import Completion, completions_in
from halo_core.feedback import further_fields, prompt_id
from halo_core.run.key_sets import Keys


@dataclass(frozen=True)
class LearnedTurns:
    """Numbers of assistant turns. Each turn of a conversation counts once.

    Attributes:
        learned: Number of turns that are the completion of a row.
        history: Number of turns that are only part of prompts, and not the completion of any row.
    """

    learned: int
    history: int


def learned_turns(rows: Iterable[Mapping[str, Any]]) -> LearnedTurns:
    """Returns how many assistant turns are learned, and how many are only part of prompts.

    Args:
        rows: Rows with their prompt and `prompt_id`.
    """
    learned, history = Keys(), Keys()
    for row in rows:
        for each in completions_in(row):
            learned.add((row["prompt_id"], each.key))
        prompt = row["prompt"]
        for at, message in enumerate(prompt):
            if message["role"] == "assistant":
                said = Completion(message["content"], further_fields(message) or None)
                history.add((prompt_id(prompt[:at], row.get("tools")), said.key))
    only_history = array("b", (not found for found in history.are_in(learned)))
    return LearnedTurns(learned.distinct(), history.distinct(only_history))
