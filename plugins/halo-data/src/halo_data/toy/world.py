"""Draws prompts, completions and noisy preferences of the toy world, in plain Python."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from functools import cache
from random import Random
from typing import Literal

from halo_core.feedback import Message
from halo_data.toy.facts import ANSWERS, FACTS, Fact
from halo_data.toy.language import (
    FILLERS,
    FULL_ANSWERS,
    GREETINGS,
    INSULTS,
    PLAIN_ANSWERS,
    REQUESTS,
)
from halo_data.toy.utility import utility

Split = Literal["train", "test"]
VERSION = 1
"""Version of the toy world. Increase it whenever the same options give different rows."""

TEST_SHARE = 5
"""Number of prompts per test prompt: one in this many is a test prompt."""


@dataclass(frozen=True)
class Writer:
    """The style in which somebody answers.

    Attributes:
        right: Probability of the right answer.
        rude: Probability of an insult.
        most_fillers: The largest number of filler sentences. All numbers up to it are equally
            likely.
    """

    right: float
    rude: float
    most_fillers: int


CORPUS = Writer(right=0.8, rude=0.4, most_fillers=2)
"""Writer of the raw text. It is mostly right, so a small model learns the facts in a minute."""
FEEDBACK = Writer(right=0.6, rude=0.4, most_fillers=3)
"""Writer of the compared completions. It is mediocre, so that alignment can improve a lot."""


@dataclass(frozen=True)
class Question:
    """A way to ask for a fact.

    Attributes:
        fact: The fact that is asked for.
        text: The user's message.
    """

    fact: Fact
    text: str

    @property
    def prompt(self) -> list[Message]:
        """The messages before the completion."""
        return [{"role": "user", "content": self.text}]


@cache
def questions(split: Split) -> tuple[Question, ...]:
    """Returns the prompts of a split. Only a prompt's text determines its split.

    No seed, size or kind of feedback moves a prompt from test to train, so that data sets with
    different options never overlap.
    """
    every = (
        Question(fact, " ".join(part for part in (greeting, request, fact.question) if part))
        for fact in FACTS
        for greeting in GREETINGS
        for request in REQUESTS
    )
    return tuple(question for question in every if _split_of(question.text) == split)


def _split_of(text: str) -> Split:
    digest = hashlib.sha256(text.encode()).digest()
    return "test" if int.from_bytes(digest[:4], "big") % TEST_SHARE == 0 else "train"


def completion(question: Question, writer: Writer, rng: Random) -> str:
    """Returns a random completion: a right or wrong answer, and sometimes fillers and an insult.

    The answer comes first, so that the question is at a fixed distance for a small model.
    """
    extras = rng.sample(FILLERS, rng.randint(0, writer.most_fillers))
    if rng.random() < writer.rude:
        extras.append(rng.choice(INSULTS))
    rng.shuffle(extras)
    return " ".join([_answer(question.fact, writer, rng), *extras])


def _answer(fact: Fact, writer: Writer, rng: Random) -> str:
    wrong = [answer for answer in ANSWERS[fact.family] if answer != fact.answer]
    answer = fact.answer if rng.random() < writer.right else rng.choice(wrong)
    template = rng.choice((*PLAIN_ANSWERS, FULL_ANSWERS[fact.family]))
    return template.format(subject=fact.subject, answer=answer, Answer=answer.capitalize())


def ranked(question: Question, temperature: float, rng: Random) -> tuple[str, str]:
    """Returns two completions, with the one that a noisy comparison prefers first.

    The first of a and b is preferred with probability
    ``sigmoid((utility(a) - utility(b)) / temperature)``. At temperature 0 it is always the better.

    Args:
        question: The question of both completions.
        temperature: Noise of the comparison, in units of utility, >= 0.
        rng: The source of randomness.
    """
    a = completion(question, FEEDBACK, rng)
    b = completion(question, FEEDBACK, rng)
    while b == a:
        b = completion(question, FEEDBACK, rng)
    gain = utility(question.prompt, a).value - utility(question.prompt, b).value
    return (a, b) if rng.random() < _preference(gain, temperature) else (b, a)


def _preference(gain: float, temperature: float) -> float:
    if temperature == 0:
        return float(gain >= 0)
    return 0.5 + 0.5 * math.tanh(gain / (2 * temperature))


def dialogue(split: Split, turns: int, rng: Random) -> str:
    """Returns raw text of some questions and answers in the TULU 2 format.

    There is no end marker between the turns. A model that learns from such text answers and then
    continues with a question of its own.

    References:
        Ivison et al. 2023, Camels in a Changing Climate (the TULU 2 chat format).
    """
    asked = rng.choices(questions(split), k=turns)
    return "".join(
        f"<|user|>\n{question.text}\n<|assistant|>\n{completion(question, CORPUS, rng)}\n"
        for question in asked
    )
