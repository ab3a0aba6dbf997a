"""Comparisons as a stage makes them: many prompts, several pairs for each, both orders."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from halo_core.feedback import Prompt
from halo_core.judge import Comparison

GROUPS: Mapping[str, str] = {
    "short": "short texts",
    "alike": "texts that differ in one word or character",
    "long": "long texts",
}
"""Groups of pairs, with words for messages."""

PAIRS = 6
"""Number of pairs of a group."""

TURNS = 3
"""Number of pairs with the words of a prompt, for each prompt."""

_WORDS = (
    "barn cart dawn east farm gate hill inch june kite lamp moss nest oats pond quay reed silo "
    "tail urge vine well yard zinc"
).split()

_QUESTIONS = (
    "Which animal on the farm says moo in the morning?",
    "Why does the farmer open the gate of the barn at dawn?",
    "How many oats does a horse eat in June, and who counts them?",
    "What grows next to the pond: reed, moss or vine?",
    "Wie hei\u00dft die Kuh, die \u201eMuh\u201c sagt?",
    "def moo(n): return 'moo' * n  # What does moo(2) return?",
)


class Pair(NamedTuple):
    """Two texts for a prompt.

    Attributes:
        id: The beginning of the ids of its comparisons.
        group: The name of its group in `GROUPS`.
        prompt: The number of the prompt.
        texts: Both texts.
    """

    id: str
    group: str
    prompt: int
    texts: tuple[str, str]


def pairs() -> Sequence[Pair]:
    """Returns six pairs of each group. Each prompt has pairs of all groups."""
    return [
        # Ids of rows may have a colon or a letter outside of ASCII.
        Pair(f"r\u00f6w:{number}.{group}", group, number, texts)
        for group in GROUPS
        for number, texts in enumerate(_TEXTS[group]())
    ]


def pairs_with_words_of_prompts() -> Sequence[Pair]:
    """Returns pairs whose texts have the words of their prompts, each word some times.

    A judge that looks only at some of the words says something else with others.
    """
    return [
        Pair(
            f"said-{turn}-{number}", "said", number, (_said(number, turn), _said(number, turn + 1))
        )
        for number in range(len(_QUESTIONS))
        for turn in range(TURNS)
    ]


def both_orders(of: Sequence[Pair], turn: int = 0) -> list[Comparison]:
    """Returns new comparisons of some pairs in both orders, whose prompts can be changed.

    Args:
        of: The pairs.
        turn: Number that is part of the prompts and the ids, so that each turn has other prompts.
    """
    return [
        Comparison(f"{pair.id}.{turn}-{order}", prompt(pair.prompt, turn), a, b)
        for pair in of
        for order, (a, b) in (("AB", pair.texts), ("BA", pair.texts[::-1]))
    ]


def prompt(number: int, turn: int = 0) -> Prompt:
    """Returns the messages of a prompt, some of which have several turns."""
    question = _QUESTIONS[number % len(_QUESTIONS)]
    if turn:
        question = f"{question} (Question {turn})"
    last = {"role": "user", "content": question}
    if number % 3 == 1:
        return [{"role": "system", "content": "You are a FARMER."}, last]  # type: ignore[list-item]
    if number % 3 == 2:
        first = {"role": "user", "content": "Hello, Cow!"}
        said = {"role": "assistant", "content": "Moo, dear friend."}
        return [first, said, last]  # type: ignore[list-item]
    return [last]  # type: ignore[list-item]


def very_long(characters: int) -> str:
    """Returns a text with this number of characters or a few more, whose words all differ."""
    words: list[str] = []
    length = 0
    while length < characters:
        words.append(f"{_WORDS[len(words) % len(_WORDS)]}{len(words)}")
        length += len(words[-1]) + 1
    return " ".join(words)


def _said(number: int, turn: int) -> str:
    """Returns a text with each word of a prompt up to three times."""
    words = " ".join(str(each["content"]) for each in prompt(number)).split()
    chance = random.Random(f"{number} {turn}")
    return " ".join(" ".join([word] * chance.randrange(4)) for word in words)


def _short() -> Iterator[tuple[str, str]]:
    for number, question in enumerate(_QUESTIONS):
        words = question.split()
        repeated = " ".join(words[: 3 + number])
        own = " ".join(_WORDS[number : number + 2 + number % 4])
        yield (repeated, own) if number % 2 else (own + f". {number * 7}!", repeated)


def _alike() -> Iterator[tuple[str, str]]:
    plain = "The brown cow says moo, and then it says it once more."
    yield plain, plain + " "
    yield plain, plain.replace("brown", "black")
    yield plain, plain[:-1] + "!"
    yield plain, plain.replace(",", "")
    yield plain, plain.replace("The", "the")
    yield plain, plain.replace("more", "again")


def _long() -> Iterator[tuple[str, str]]:
    for number, question in enumerate(_QUESTIONS):
        story = [f"{_WORDS[(number * 5 + n * 7) % len(_WORDS)]} {n}" for n in range(150)]
        other = [f"{word.upper()} and {n * number}" for n, word in enumerate(story[: 90 + number])]
        longest = 4 if number == 0 else 1  # One text is much longer than the mean.
        one = f"{question} {', '.join(story)}. " * longest + question
        yield one, ". ".join(other)


_TEXTS: Mapping[str, Callable[[], Iterator[tuple[str, str]]]] = {
    "short": _short,
    "alike": _alike,
    "long": _long,
}

__all__ = [
    "GROUPS",
    "PAIRS",
    "Pair",
    "both_orders",
    "pairs",
    "pairs_with_words_of_prompts",
    "prompt",
    "very_long",
]
