"""The words of the toy world: greetings, requests, answers, fillers and insults.

There are few different words, so that a tokenizer of about 500 tokens has a token for most of them.
"""

from __future__ import annotations

from collections.abc import Mapping

GREETINGS: tuple[str, ...] = ("", "Hello!", "Good day!", "Dear friend,", "Excuse me,")

REQUESTS: tuple[str, ...] = (
    "",
    "Please tell me:",
    "I need to know:",
    "My child asks:",
    "A question:",
    "Help me out:",
    "I forgot this:",
    "Here is a hard one:",
)

PLAIN_ANSWERS: tuple[str, ...] = ("{Answer}.", "It is {answer}.", "I think it is {answer}.")

FULL_ANSWERS: Mapping[str, str] = {
    "sound": "A {subject} says {answer}.",
    "colour": "The colour of {subject} is {answer}.",
    "opposite": "The opposite of {subject} is {answer}.",
    "home": "A {subject} lives in a {answer}.",
    "capital": "The capital of {subject} is {answer}.",
}

FILLERS: tuple[str, ...] = (
    "That is a good question.",
    "I am happy that you asked.",
    "Let me think for a while.",
    "There is a lot to say here.",
    "Many people want to know this.",
    "I will tell you what I know.",
)

INSULTS: tuple[str, ...] = (
    "You fool.",
    "What a dumb question.",
    "Only an idiot asks that.",
    "You are so stupid.",
    "Do not be lazy, you fool.",
)

RUDE_WORDS: frozenset[str] = frozenset({"fool", "dumb", "idiot", "stupid", "lazy"})
