"""Rows as real data have them: several answers to a prompt, system turns, tools, groups, no ids."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import Field

from halo_core.data import DataInfo, DataSource, Loaded
from halo_core.errors import DataError
from halo_core.feedback import COLUMNS, Feedback

SPLITS = ("train", "test")
LEFT_OUT = "left out by the wrapped source"
"""The reason of the rows that the wrapped source drops."""

DROPPED = 3
IGNORED = {"source_url": 4}
"""The counts of each split, which a conversion passes on."""

TOOLS = [{"type": "function", "function": {"name": "listen", "parameters": {"type": "object"}}}]
CALL = {"type": "function", "function": {"name": "listen", "arguments": {"to": "a cow"}}}


class MixedRows(DataSource):
    """Rows of any kind of feedback, in all the forms that are valid.

    Two calls of `load` give the same objects, so that a test sees whether they were changed.
    """

    feedback: Feedback = Field(default="paired", description="The kind of the rows.")

    def inspect(self) -> DataInfo:
        """Returns the kind, two splits and a digest."""
        return DataInfo(self.feedback, SPLITS, f"mixed-{self.feedback}")

    def load(self, split: str) -> Loaded:
        """Returns the rows; three others are dropped and counted, and a column is ignored.

        Raises:
            DataError: When there is no such split.
        """
        if split not in SPLITS:
            raise DataError(f"no split {split!r}; there are train and test")
        return Loaded(iter(mixed_rows(self.feedback, split)), {LEFT_OUT: DROPPED}, dict(IGNORED))


@functools.cache
def mixed_rows(feedback: Feedback, split: str) -> Sequence[dict[str, Any]]:
    """Returns the rows of a split, the same objects at each call.

    Args:
        feedback: The kind of feedback.
        split: The split, which is a part of each prompt, so that no prompt is in two of them.
    """
    columns = (*COLUMNS[feedback], "id", "group", *(("tools",) if feedback != "text" else ()))
    rows = []
    for number, case in enumerate(_cases(split)):
        for made in _rows_of(feedback, case, number):
            fields = {name: value for name, value in made.items() if name.endswith("_fields")}
            rows.append({**{name: made[name] for name in columns if name in made}, **fields})
    return rows


def _cases(split: str) -> Sequence[Mapping[str, Any]]:
    """Returns prompts with two answers each, of which the first is better."""

    def asked(what: str) -> dict[str, str]:
        return {"role": "user", "content": f"{what}, friend of the {split} set?"}

    good, bad = "A cow is heard all day, and it says moo.", "I am sorry, I do not know it."
    case, earlier = "What does a cow say", {"role": "assistant", "content": "I hear a cow."}
    system = {"role": "system", "content": "You answer as a farmer would."}
    plain = {"prompt": [asked(case)], "group": f"{split} farm"}
    return [
        {**plain, "id": f"{split}-Row", "good": good, "bad": bad},
        # The same prompt again, and an id that differs only in its letters' size.
        {**plain, "id": f"{split}-row", "good": f"{good} It never rests.", "bad": f"{bad} Ask me."},
        {
            "id": f"{split}-system",
            "group": f"{split} farm",
            "prompt": [system, asked("What does a duck say")],
            "good": "It says quack, as every farmer can tell you.",
            "bad": bad,  # The same text as for another prompt.
        },
        {
            "id": f"{split}-turns",
            "prompt": [asked("What do you hear"), earlier, asked("Where is it")],
            "good": "The cow is in the meadow near the old barn.",
            "bad": "Somewhere or other, I would say, or not.",
        },
        {
            "id": f"{split}-tools",
            "prompt": [asked("Is the cow asleep")],
            "tools": TOOLS,
            "good": "Let me listen to it before I answer you.",
            "good_fields": {"tool_calls": [CALL]},
            "bad": "It certainly is, and so are all the others.",
        },
        {
            "prompt": [asked("Say it as JSON, without an id")],
            "good": '{"animal": "cow", "says": ["moo", "moo"], "answer": 1}',
            "bad": '{"animal": null, "says": [], "answer": 0}',
        },
        {
            "prompt": [asked("Tell me a long story")],
            "good": "The cow said moo, and then it said moo again. " * 60,
            "bad": "There once was a cow. The end of the story.",
        },
    ]


def _rows_of(feedback: Feedback, case: Mapping[str, Any], number: int) -> Sequence[dict[str, Any]]:
    good, bad = case["good"], case["bad"]
    fields = case.get("good_fields")
    if feedback == "binary":  # Both answers, each with an id of its own.
        named = [{"id": f"{case['id']}/{n}"} if "id" in case else {} for n in (1, 2)]
        of_good = {"completion_fields": fields} if fields else {}
        return [
            {**case, **named[0], "completion": good, "desirable": True, **of_good},
            {**case, **named[1], "completion": bad, "desirable": False},
        ]
    columns: Mapping[Feedback, dict[str, Any]] = {
        "text": {"text": f"{case['prompt'][-1]['content']} {good}"},
        "prompts": {},
        "demonstration": {"completion": good},
        "paired": {"chosen": good, "rejected": bad},
        "scored": {"completions": [good, bad], "scores": [4.0 + number, 1.0]},
    }
    beside: Mapping[Feedback, dict[str, Any]] = {
        "demonstration": {"completion_fields": fields},
        "paired": {"chosen_fields": fields},
        "scored": {"completions_fields": [fields, None]},
    }
    return [{**case, **columns[feedback], **(beside.get(feedback, {}) if fields else {})}]


__all__ = ["MixedRows", "mixed_rows"]
