"""Rows of prompts that are asked again and again, with ties, and of prompts that look alike."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from pydantic import Field

from halo_core.completion import Completion, scored_columns
from halo_core.feedback import Feedback
from halo_core.testing.data.made_rows import MadeRows

PLAIN = 12
"""Number of prompts that come once, and are like no other one."""

TIMES = 6
"""Number of rows of the crowded prompt, which come between those of other prompts."""

CROWDED = "crowded"
"""The name of the prompt with many rows."""

SCORES: Sequence[Sequence[float]] = (
    (3.0, 1.0, 2.0),
    (1.0, 2.0, 2.0),  # The best ones are equal.
    (-1.0, -4.0, -1.0),  # All are negative.
    (0.7, 0.0, -0.9),
    (1.0, 1.0, 1.0),
    (-3.0, -2.0, -1.0),  # The best one is last.
    (2.0, 0.0, 1.0),  # The worst one is 0.
    (-1.0, 0.0, -2.0),  # The best one is 0.
)
"""Scores of the completions of a group, in turn."""


class CrowdedRows(MadeRows):
    """Rows with prompts. Some prompts look alike, and one has many rows."""

    only: tuple[str, ...] = Field(default=(), description="Names of prompts; all if empty.")
    zero: float = Field(default=0.0, description="The score in place of each score of 0.")

    def rows(self) -> Iterator[Mapping[str, Any]]:
        """Yields the rows of the prompts."""
        return (row for _, row in crowded_rows(self.feedback, self.only, self.zero))


def prompts() -> Mapping[str, Mapping[str, Any]]:
    """Returns the prompts by their names, with the columns that belong to them."""
    last = "Is it as big as a house, friend?"
    found: dict[str, Mapping[str, Any]] = {
        f"plain {n}": _asked(f"How old is the tree number {n}?") for n in range(PLAIN)
    }
    found[CROWDED] = _asked("What does a cow say, and how often?")
    found["one-sided"] = _asked("Who has counted the sheep?")
    for animal in ("cow", "hen", "owl", "bee", "fox"):
        turns = [
            {"role": "user", "content": f"I have a {animal}."},
            {"role": "assistant", "content": "Good for you."},
        ]
        found[f"talk about the {animal}"] = {"prompt": [*turns, {"role": "user", "content": last}]}
    for tool in ("look", "listen", "count", "weigh", "ask"):
        function = {"name": tool, "parameters": {"type": "object", "properties": {}}}
        tools = [{"type": "function", "function": function}]
        found[f"tool {tool}"] = {**_asked("Find out where the goat is."), "tools": tools}
    return found


def _asked(text: str) -> dict[str, Any]:
    return {"prompt": [{"role": "user", "content": text}]}


def crowded_rows(
    feedback: Feedback, only: Collection[str] = (), zero: float = 0.0
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yields the names of prompts, and rows of them.

    Args:
        feedback: The kind of feedback.
        only: Names of prompts; all if empty.
        zero: The score in place of each score of 0.
    """
    names = list(prompts())
    others = [name for name in names if name not in (CROWDED, "one-sided")]
    order: list[str] = []
    for place, name in enumerate(others):
        order.append(name)
        if place % 3 == 0:
            order.append(CROWDED if len(order) % 2 == 0 else "one-sided")
    order += [CROWDED] * (TIMES - order.count(CROWDED))
    columns = prompts()
    for number, name in enumerate(order):
        if not only or name in only:
            for row in _rows_of(feedback, name, number, zero):
                yield name, {**columns[name], **row}


def _rows_of(feedback: Feedback, name: str, number: int, zero: float) -> Iterator[dict[str, Any]]:
    good, bad = f"The answer {number} is a good one.", f"Nobody knows {number} of it."
    middle = f"It may be {number}." if number % 4 else good
    if feedback == "binary":
        yield {"id": f"row-{number}/1", "completion": good, "desirable": True}
        if name != "one-sided":
            yield {"id": f"row-{number}/2", "completion": bad, "desirable": False}
    elif feedback == "scored":
        scores = [each or zero for each in SCORES[number % len(SCORES)]]
        group = [Completion(each) for each in (good, bad, middle)]
        yield {"id": f"row-{number}", **scored_columns(group), "scores": scores}
    elif feedback == "paired":
        yield {"id": f"row-{number}", "chosen": good, "rejected": bad}
    elif feedback == "demonstration":
        yield {"id": f"row-{number}", "completion": good}
    else:
        yield {"id": f"row-{number}"}


__all__ = ["CROWDED", "CrowdedRows", "crowded_rows", "prompts"]
