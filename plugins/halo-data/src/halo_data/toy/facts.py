"""The facts of the toy world: five families of six questions, each with one right answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Fact:
    """A question with one right answer.

    Attributes:
        family: The fact's family. The family's other answers are its wrong answers.
        subject: The subject of the question.
        question: The full question.
        answer: The right answer, as one lower-case word.
    """

    family: str
    subject: str
    question: str
    answer: str


_QUESTIONS: Mapping[str, str] = {
    "sound": "What does a {} say?",
    "colour": "What colour is {}?",
    "opposite": "What is the opposite of {}?",
    "home": "Where does a {} live?",
    "capital": "What is the capital of {}?",
}

_ANSWERS: Mapping[str, Mapping[str, str]] = {
    "sound": {
        "cow": "moo",
        "dog": "woof",
        "cat": "meow",
        "duck": "quack",
        "sheep": "baa",
        "pig": "oink",
    },
    "colour": {
        "grass": "green",
        "snow": "white",
        "coal": "black",
        "blood": "red",
        "gold": "yellow",
        "water": "blue",
    },
    "opposite": {
        "hot": "cold",
        "big": "small",
        "fast": "slow",
        "wet": "dry",
        "old": "new",
        "up": "down",
    },
    "home": {
        "bee": "hive",
        "bird": "nest",
        "bear": "cave",
        "spider": "web",
        "king": "castle",
        "rabbit": "burrow",
    },
    "capital": {
        "France": "paris",
        "Italy": "rome",
        "Peru": "lima",
        "Egypt": "cairo",
        "Japan": "tokyo",
        "Spain": "madrid",
    },
}

FACTS: tuple[Fact, ...] = tuple(
    Fact(family, subject, _QUESTIONS[family].format(subject), answer)
    for family, answers in _ANSWERS.items()
    for subject, answer in answers.items()
)
"""All thirty facts, in a fixed order."""

ANSWERS: Mapping[str, tuple[str, ...]] = {
    family: tuple(answers.values()) for family, answers in _ANSWERS.items()
}
"""The answers of each family, which are right or wrong for each of its questions."""


def fact_in(text: str) -> Fact | None:
    """Returns the fact that a text asks for; None if it contains no question of this world.

    >>> fact_in("Tell me: What does a cow say?").answer
    'moo'
    """
    return next((fact for fact in FACTS if fact.question in text), None)
