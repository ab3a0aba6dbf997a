"""Prompts with two answers each, in all the forms that rows of real data have."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Case = Mapping[str, Any]
"""A prompt and two answers, of which `good` is the better one. A row may have more columns."""

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


def mixed_cases(split: str) -> Iterator[Case]:
    """Yields the cases of a split, first those with something special.

    Args:
        split: The split, which is a part of each prompt, so that no prompt is in two of them.
    """
    yield from _of_one_farm(split)
    yield _after_turns(split)
    yield from _with_tools(split)
    yield _with_contact(split)
    yield _worse_is_a_call(split)
    yield _without_id(split)
    yield _after_a_talk(split)
    yield from _sampled(split)
    yield from _disputed(split)
    yield from _after_two_talks(split)
    yield _long(split)
    yield from _plain(split)


def _asked(what: str, split: str) -> dict[str, str]:
    return {"role": "user", "content": f"{what}, friend of the {split} set?"}


def _of_one_farm(split: str) -> Sequence[Case]:
    """Returns two cases of one prompt and one of another, all in one group."""
    good, bad = "A cow is heard all day, and it says moo.", "I am sorry, I do not know it."
    plain = {"prompt": [_asked("What does a cow say", split)], "group": f"{split} farm"}
    system = {"role": "system", "content": "You answer as a farmer would."}
    return [
        {**plain, "id": f"{split}-Row", "good": good, "bad": bad},
        # The same prompt again, and an id that differs only in its letters' size.
        {**plain, "id": f"{split}-row", "good": f"{good} It never rests.", "bad": f"{bad} Ask me."},
        {
            "id": f"{split}-system",
            "group": f"{split} farm",
            "prompt": [system, _asked("What does a duck say", split)],
            "good": "It says quack, as every farmer can tell you.",
            "bad": bad,  # The same text as for another prompt.
        },
    ]


def _after_turns(split: str) -> Case:
    earlier = {"role": "assistant", "content": "I hear a cow."}
    return {
        "id": f"{split}-turns",
        "prompt": [_asked("What do you hear", split), earlier, _asked("Where is it", split)],
        "good": "The cow is in the meadow near the old barn.",
        "bad": "Somewhere or other, I would say, or not.",
    }


def _with_tools(split: str) -> Sequence[Case]:
    return [
        {
            "id": f"{split}-tools",
            "prompt": [_asked("Is the cow asleep", split)],
            "tools": TOOLS,
            "good": "Let me listen to it before I answer you.",
            "good_beside": ({"tool_calls": [CALL]},),
            "bad": "It certainly is, and so are all the others.",
            "scores": [1.0, 2.0],  # Of scored completions, the best one is not always the first.
        },
        {  # Only a call of a tool, as many models answer: the text is empty.
            "id": f"{split}-call",
            "prompt": [_asked("Is the hen asleep", split)],
            "tools": TOOLS,
            "good": "",
            "good_beside": ({"tool_calls": [CALL]},),
            "bad": "How could I know whether she is asleep or not?",
        },
    ]


def _with_contact(split: str) -> Case:
    return {
        "id": f"{split}-contact",
        "prompt": [_asked("Whom do I ask about the hen", split)],
        "good": f"Ask the farmer, who knows her well. {CONTACT}",
        "bad": f"Ask whoever you like, I do not care. {CONTACT}",
    }


def _worse_is_a_call(split: str) -> Case:
    return {
        "id": f"{split}-other-call",
        "prompt": [_asked("How old is the hen", split)],
        "tools": TOOLS,
        "good": "She is as old as my youngest daughter, as far as I know.",
        "bad": "",
        "bad_beside": ({"tool_calls": [CALL]},),
    }


def _without_id(split: str) -> Case:
    return {
        "prompt": [_asked("Say it as JSON, without an id", split)],
        "good": '{"animal": "cow", "says": ["moo", "moo"], "answer": 1}',
        "bad": '{"animal": null, "says": [], "answer": 0}',
    }


def _after_a_talk(split: str) -> Case:
    """Returns a long conversation, whose messages have all further fields, with odd blanks."""
    asked = _asked("And now,\n\n  in two lines", split)
    return {
        "id": f"{split}-many-turns",
        "prompt": [*_talk(), {**asked, "content": asked["content"] + " \n"}],
        "tools": TOOLS,
        "good": "  It says:\n\n    Moo, moo.\n",
        "bad": " It is QUIET. \n",
    }


def _talk() -> list[dict[str, Any]]:
    return [
        {"role": "system", "content": "You may listen, and you answer as a farmer would."},
        {"role": "user", "content": "Is there a cow?\n", "name": "Ana"},
        {"role": "assistant", "content": "", "tool_calls": [{**CALL, "id": "call-1"}]},
        {"role": "tool", "content": "moo", "name": "listen", "tool_call_id": "call-1"},
        {"role": "assistant", "content": "There is.", "reasoning_content": "I heard one."},
        {"role": "user", "content": "Where is it now?"},
        {"role": "assistant", "content": "In the meadow."},
    ]


def _sampled(split: str) -> Sequence[Case]:
    """Returns cases with the tokens of their answers. In each, another answer has no end."""
    endless = "It says moo, and it will say so again and again and"
    return [
        {
            "id": f"{split}-sampled",
            "prompt": [_asked("Say it again", split)],
            "tokenizer": "0123abcd",
            "template": "4567cdef",
            "good": "It says moo, and it will say so again tomorrow.",
            "good_beside": (None, [5, 6, 7], "stop", [-0.123456, -1.5, -0.25, -2.0], SAMPLED),
            "bad": endless,
            "bad_beside": (None, [5, 6, 8], "length", [-0.123456, -1.5, -3.140625], SAMPLED),
        },
        {
            "id": f"{split}-unfinished",
            "prompt": [_asked("Say it without an end", split)],
            "good": endless,
            "good_beside": (None, [5, 6, 8], "length", [-0.25, -1.75, -3.140625], SAMPLED),
            "bad": "It does not say anything, and it never did so.",
            "bad_beside": (None, [5, 9], "stop", [-0.5, -1.5, -0.75], SAMPLED),
        },
    ]


def _disputed(split: str) -> Sequence[Case]:
    """Returns the answers of two people who do not agree, one of them twice; scores are close."""
    cow = "The cow is the best one of all animals."
    goat = "The goat is the best one of all animals."
    shared = {"prompt": [_asked("Which animal is the best one", split)]}
    denied = {"good": goat, "bad": cow, "id": f"{split}-denied"}
    return [
        *({**shared, "good": cow, "bad": goat, "id": f"{split}-said-{n}"} for n in (1, 2)),
        {**shared, **denied, "scores": [0.0005, 0.0002, 0.0]},
    ]


def _after_two_talks(split: str) -> Iterator[Case]:
    """Yields one last message in two conversations. Of labelled answers, each has one only."""
    for animal, only in (("cow", "bad"), ("hen", "good")):
        yield {
            "id": f"{split}-{animal}",
            "prompt": [
                {"role": "user", "content": f"I have a {animal}."},
                {"role": "assistant", "content": "Good for you."},
                _asked("Is mine as big as a house", split),
            ],
            "good": f"A {animal} is smaller than a house, and always will be.",
            "bad": f"A {animal} may be as big as a house, who knows it.",
            "only": only,
        }


def _long(split: str) -> Case:
    return {
        "prompt": [_asked("Tell me a long story", split)],
        "good": "The cow said moo, and then it said moo again. " * 3000,
        "bad": "The cow said nothing at all, and it was quiet. " * 2600,
    }


def _plain(split: str) -> Iterator[Case]:
    """Yields enough cases that a batch of any usual size is not the last one.

    Some prompts come twice, some labelled answers have no opposite, and some have both labels.
    """
    for number in range(PLAIN[split]):
        farm = number - (number % 20 == 11)
        yield {
            "id": f"{split}-plain-{number}",
            "prompt": [_asked(f"How many cows has farm {farm:03}", split)],
            "middle": f"There are cows on the farm {number:03}, and more of them than you think.",
            "good": f"The farm with the number {number:03} has {number + 2} cows.",
            "bad": f"I never counted those of {number:03}." + " I do not like to." * (number % 9),
            "only": {4: "good", 9: "bad", 12: "both"}.get(number % 15, ""),
        }


__all__ = ["CONTACT", "mixed_cases"]
