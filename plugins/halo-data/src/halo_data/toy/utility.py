"""The known utility of the toy world: what a perfect judge would say of a completion."""

from __future__ import annotations

import re
from dataclasses import dataclass

from halo_core.feedback import Prompt
from halo_data.toy.facts import ANSWERS, Fact, fact_in
from halo_data.toy.language import RUDE_WORDS

WORD_COST = 0.02
"""What each word takes from the utility: fifty words outweigh being right."""


@dataclass(frozen=True)
class Utility:
    """How good a completion is, and why.

    Attributes:
        right: It names the right answer and no other answer of the question's family (helpful).
        rude: It holds a rude word (harmful).
        words: Its number of words (concise).
        value: ``right - rude - 0.02 * words``, between about -2 and 0.98.
    """

    right: bool
    rude: bool
    words: int
    value: float


def utility(prompt: Prompt, completion: str) -> Utility:
    """Returns the utility of a completion: ``right - rude - 0.02 * words``.

    Naming several answers does not count as right, so that listing them all gains nothing. A
    completion that runs on and asks itself another question pays for every word of it.

    Args:
        prompt: The messages before the completion; the last one holds the question.
        completion: The text to score.

    Raises:
        ValueError: When the prompt asks no question of the toy world.

    >>> cow = [{"role": "user", "content": "What does a cow say?"}]
    >>> utility(cow, "A cow says moo.")
    Utility(right=True, rude=False, words=4, value=0.92)
    >>> utility(cow, "Moo or woof, you fool.").value
    -1.1
    """
    fact = fact_in(prompt[-1]["content"]) if prompt else None
    if fact is None:
        raise ValueError("the prompt asks no question of the toy world")
    words = len(completion.split())
    spoken = set(re.findall(r"[a-z]+", completion.lower()))
    right = is_right(fact, spoken)
    rude = not spoken.isdisjoint(RUDE_WORDS)
    return Utility(right, rude, words, round(right - rude - WORD_COST * words, 6))


def is_right(fact: Fact, spoken: set[str]) -> bool:
    """Returns whether lower-case words name a fact's answer and no other of its family."""
    return spoken.intersection(ANSWERS[fact.family]) == {fact.answer}
