"""Rows as real data have them: several answers to a prompt, tools, groups, long texts, no ids."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import Field

from halo_core.completion import Completion, scored_columns
from halo_core.data import DataInfo, DataSource, Loaded
from halo_core.errors import DataError
from halo_core.feedback import COLUMNS, OPTIONAL_COLUMNS, Feedback

SPLITS = ("train", "test")
LEFT_OUT = "left out by the wrapped source"
"""The reason of the rows that the wrapped source drops."""

DROPPED = 3
IGNORED = {"source_url": 4}
"""The counts of each split, which a conversion passes on."""

PASSED_OVER, READ_AS = ("notes.txt",), ("farm.csv: says <- said",)
"""The information of the source about its files, which a conversion passes on, too."""

TOOLS = [  # In no order of their names.
    {"type": "function", "function": {"name": name, "parameters": {"type": "object"}}}
    for name in ("listen", "count", "look")
]
CALL = {"type": "function", "function": {"name": "listen", "arguments": {"to": "a cow"}}}
SAMPLED = {"temperature": 0.7, "top_p": 0.95, "top_k": 0}

CONTACT = (
    "Write to ana@farm.example, call +1 555 010 2030, or see https://farm.example/hens?name=Berta. "
    "<b>Her</b> number is *4711*: `hen = 4711`."
)
"""A text with much that a conversion may replace. Both answers of a prompt have it."""

PLAIN = {"train": 119, "test": 113}
"""Number of cases in each split that have nothing special. All cases are 137 and 131, both prime:
a conversion that works in batches has a last one that is not full."""


class MixedRows(DataSource):
    """Rows of any kind of feedback, in all the forms that are valid.

    Two calls of `load` give the same objects, so that a test sees whether they were changed.
    """

    feedback: Feedback = Field(default="paired", description="The kind of the rows.")
    reasons: tuple[str, ...] = Field(default=(), description="More reasons of dropped rows.")

    def inspect(self) -> DataInfo:
        """Returns the kind, two splits, a digest, and what it says about its files."""
        return DataInfo(self.feedback, SPLITS, f"mixed-{self.feedback}", PASSED_OVER, READ_AS)

    def load(self, split: str) -> Loaded:
        """Returns the rows; three others are dropped for each reason, and a column is ignored.

        Raises:
            DataError: When there is no such split.
        """
        if split not in SPLITS:
            raise DataError(f"no split {split!r}; there are train and test")
        dropped = dict.fromkeys((LEFT_OUT, *self.reasons), DROPPED)
        return Loaded(iter(mixed_rows(self.feedback, split)), dropped, dict(IGNORED))


@functools.cache
def mixed_rows(feedback: Feedback, split: str) -> Sequence[dict[str, Any]]:
    """Returns the rows of a split, the same objects at each call.

    Args:
        feedback: The kind of feedback.
        split: The split, which is a part of each prompt, so that no prompt is in two of them.
    """
    columns = {*COLUMNS[feedback], *OPTIONAL_COLUMNS[feedback], "id", "group"}
    rows = []
    for number, case in enumerate((*_cases(split), *_plain_cases(split))):
        for made in _rows_of(feedback, case, number):
            rows.append({name: value for name, value in made.items() if name in columns})
    return rows


def _cases(split: str) -> Sequence[Mapping[str, Any]]:
    """Returns prompts with two answers each, of which the first is better."""

    def asked(what: str) -> dict[str, str]:
        return {"role": "user", "content": f"{what}, friend of the {split} set?"}

    good, bad = "A cow is heard all day, and it says moo.", "I am sorry, I do not know it."
    case, earlier = "What does a cow say", {"role": "assistant", "content": "I hear a cow."}
    system = {"role": "system", "content": "You answer as a farmer would."}
    disputed: dict[str, Any] = {
        "prompt": [asked("Which animal is the best one")],
        "good": "The cow is the best one of all animals.",
        "bad": "The goat is the best one of all animals.",
    }
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
            "good_beside": ({"tool_calls": [CALL]},),
            "bad": "It certainly is, and so are all the others.",
            "scores": [1.0, 2.0],  # Of scored completions, the best one is not always the first.
        },
        {  # Only a call of a tool, as many models answer: the text is empty.
            "id": f"{split}-call",
            "prompt": [asked("Is the hen asleep")],
            "tools": TOOLS,
            "good": "",
            "good_beside": ({"tool_calls": [CALL]},),
            "bad": "How could I know whether she is asleep or not?",
        },
        {
            "id": f"{split}-contact",
            "prompt": [asked("Whom do I ask about the hen")],
            "good": f"Ask the farmer, who knows her well. {CONTACT}",
            "bad": f"Ask whoever you like, I do not care. {CONTACT}",
        },
        {
            "id": f"{split}-other-call",
            "prompt": [asked("How old is the hen")],
            "tools": TOOLS,
            "good": "She is as old as my youngest daughter, as far as I know.",
            "bad": "",
            "bad_beside": ({"tool_calls": [CALL]},),
        },
        {
            "prompt": [asked("Say it as JSON, without an id")],
            "good": '{"animal": "cow", "says": ["moo", "moo"], "answer": 1}',
            "bad": '{"animal": null, "says": [], "answer": 0}',
        },
        {
            "id": f"{split}-many-turns",
            "prompt": [*_talk(), _ending(asked("And now,\n\n  in two lines"), " \n")],
            "tools": TOOLS,
            "good": "  It says:\n\n    Moo, moo.\n",
            "bad": " It is QUIET. \n",
        },
        {
            "id": f"{split}-sampled",
            "prompt": [asked("Say it again")],
            "tokenizer": "0123abcd",
            "template": "4567cdef",
            "good": "It says moo, and it will say so again tomorrow.",
            "good_beside": (None, [5, 6, 7], "stop", [-0.123456, -1.5, -0.25, -2.0], SAMPLED),
            "bad": "It says moo, and it will say so again and again and",
            "bad_beside": (None, [5, 6, 8], "length", [-0.123456, -1.5, -3.140625], SAMPLED),
        },
        {
            "id": f"{split}-unfinished",
            "prompt": [asked("Say it without an end")],
            "good": "It says moo, and it will say so again and again and",
            "good_beside": (None, [5, 6, 8], "length", [-0.25, -1.75, -3.140625], SAMPLED),
            "bad": "It does not say anything, and it never did so.",
            "bad_beside": (None, [5, 9], "stop", [-0.5, -1.5, -0.75], SAMPLED),
        },
        # Two people who do not agree, one of them twice, and scores that are close.
        *({**disputed, "id": f"{split}-said-{n}"} for n in (1, 2)),
        {
            **disputed,
            "id": f"{split}-denied",
            "good": disputed["bad"],
            "bad": disputed["good"],
            "scores": [0.0005, 0.0002, 0.0],
        },
        # The same last message in two conversations. Of labelled answers, each has one only.
        *(
            {
                "id": f"{split}-{animal}",
                "prompt": [
                    {"role": "user", "content": f"I have a {animal}."},
                    {"role": "assistant", "content": "Good for you."},
                    asked("Is mine as big as a house"),
                ],
                "good": f"A {animal} is smaller than a house, and always will be.",
                "bad": f"A {animal} may be as big as a house, who knows it.",
                "only": only,
            }
            for animal, only in (("cow", "bad"), ("hen", "good"))
        ),
        {
            "prompt": [asked("Tell me a long story")],
            "good": "The cow said moo, and then it said moo again. " * 3000,
            "bad": "The cow said nothing at all, and it was quiet. " * 2600,
        },
    ]


def _talk() -> list[dict[str, Any]]:
    """Returns the beginning of a long conversation, whose messages have all further fields."""
    return [
        {"role": "system", "content": "You may listen, and you answer as a farmer would."},
        {"role": "user", "content": "Is there a cow?\n", "name": "Ana"},
        {"role": "assistant", "content": "", "tool_calls": [{**CALL, "id": "call-1"}]},
        {"role": "tool", "content": "moo", "name": "listen", "tool_call_id": "call-1"},
        {"role": "assistant", "content": "There is.", "reasoning_content": "I heard one."},
        {"role": "user", "content": "Where is it now?"},
        {"role": "assistant", "content": "In the meadow."},
    ]


def _ending(message: dict[str, str], end: str) -> dict[str, str]:
    return {**message, "content": message["content"] + end}


def _plain_cases(split: str) -> Iterator[Mapping[str, Any]]:
    """Yields enough rows that a batch of any usual size is not the last one.

    Some prompts come twice, some labelled answers have no opposite, and some have both labels.
    """
    for number in range(PLAIN[split]):
        farm = number - (number % 20 == 11)
        asked = f"How many cows has farm {farm:03}, friend of the {split} set?"
        yield {
            "id": f"{split}-plain-{number}",
            "prompt": [{"role": "user", "content": asked}],
            "middle": f"There are cows on the farm {number:03}, and more of them than you think.",
            "good": f"The farm with the number {number:03} has {number + 2} cows.",
            "bad": f"I never counted those of {number:03}." + " I do not like to." * (number % 9),
            "only": {4: "good", 9: "bad", 12: "both"}.get(number % 15, ""),
        }


def _rows_of(feedback: Feedback, case: Mapping[str, Any], number: int) -> Sequence[dict[str, Any]]:
    good, bad = _answer(case, "good"), _answer(case, "bad")
    group = [good, bad, *([_answer(case, "middle")] if "middle" in case else [])]
    scores = case.get("scores", [4.0 + number, 1.0, 2.5])
    if feedback == "binary":  # Both answers, each with an id of its own.
        named = [{"id": f"{case['id']}/{n}"} if "id" in case else {} for n in (1, 2)]
        only = case.get("only", "")
        worse = good if only == "both" else bad  # Some people do not agree on an answer.
        labelled = [
            {**case, **named[0], **good.columns("completion"), "desirable": True},
            {**case, **named[1], **worse.columns("completion"), "desirable": False},
        ]
        return labelled[:1] if only == "good" else labelled[1:] if only == "bad" else labelled
    columns: Mapping[Feedback, dict[str, Any]] = {
        "text": {"text": f"{case['prompt'][-1]['content']} {good.text}"},
        "prompts": {},
        "demonstration": good.columns("completion"),
        "paired": good.columns("chosen") | bad.columns("rejected"),
        "scored": {**scored_columns(group), "scores": scores[: len(group)]},
    }
    return [{**case, **columns[feedback]}]


def _answer(case: Mapping[str, Any], name: str) -> Completion:
    return Completion(case[name], *case.get(f"{name}_beside", ()))


__all__ = ["CONTACT", "MixedRows", "mixed_rows"]
