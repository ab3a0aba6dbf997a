"""Checks that a judge of words reads words of every script, and not those of ASCII alone."""

from __future__ import annotations

import re
import string
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from halo_core.judge import Comparison, Judge, JudgeContext
from halo_core.scoring_judge import Answer, ScoringJudge
from halo_core.testing.component import expect, must_not_raise

FEWEST = 3
"""Number of pairs that must show that other letters of ASCII change nothing."""

QUESTION = "Which animal on the farm says moo in the morning"
TEXTS = (
    ("the animal on the farm", "a duck visits this pond"),
    ("moo moo moo moo moo", "cows say moo at dawn"),
    ("moo in the morning", "reed grows near ponds"),
    ("a b a b a", "a c b d e"),
    ("extraordinarily longwinded farmers", "a cow moos"),
    ("ON THE FARM MOO", "a pond of reed"),
    ("which animal says what", "we never heard it"),
    ("moo cow moo cow", "horse duck goat hen"),
    ("animals say moo every morning", "it is so far away"),
)
"""Pairs of texts with as many words, no digits and no points, so that the letters decide."""

OF_ASCII = re.compile("ASCII|English|Latin|alphabet|vowel|syllable", re.IGNORECASE)
"""Words of a documentation that says that a judge is about some letters."""

CYRILLIC = "абвгдежзийклмнопрстуфхцчшы"
"""One letter for each letter from a to z. Each of them has a capital form."""

Words = Callable[[str], str]


def check_other_scripts(judge: Judge, context: JudgeContext) -> None:
    """Compares the decisions about texts with those about the same texts in other letters.

    A judge may be about some letters or words, such as vowels. So it is first asked about texts
    whose letters are replaced by others of ASCII. Only if this changes nothing, other letters of
    another script may not change everything.

    Args:
        judge: A judge that asks no service.
        context: Its context.

    Raises:
        AssertionError: When it tells no texts apart in Cyrillic letters, although it tells the same
            texts apart in Latin ones, whichever these are.
    """
    if OF_ASCII.search(type(judge).__doc__ or ""):
        return
    usual = _told(judge, context, str, "a")
    apart = [name for name, each in usual.items() if _is_apart(each)]
    if len(apart) < FEWEST:
        return
    for place, letters in enumerate(_latin()):
        other = _told(judge, context, letters, f"b{place}")
        if any(other[name] != usual[name] for name in apart):
            return  # It is about some letters or words.
    cyrillic = _told(judge, context, _letters(CYRILLIC), "c")
    expect(
        any(_is_apart(cyrillic[name]) for name in apart),
        judge,
        f"it tells {len(apart)} pairs of texts apart, also if their Latin letters are other ones, "
        "and none of them if the letters are Cyrillic: it leaves out letters that are not in "
        "ASCII, so texts of most languages are equal to it. Use str.isalpha() or \\w in place of "
        "[a-z]. If it is about Latin letters only, say so in the documentation of the class",
    )


def _latin() -> Sequence[Words]:
    """Returns functions that replace letters by others of ASCII."""
    first = string.ascii_lowercase
    return [_letters(first[13:] + first[:13]), _letters(first[7:] + first[:7])]


def _letters(new: str) -> Words:
    table = str.maketrans(string.ascii_letters, new + new.upper())
    return lambda text: text.translate(table)


def _told(
    judge: Judge, context: JudgeContext, words: Words, turn: str
) -> Mapping[str, tuple[Any, ...]]:
    """Returns what the judge decides about each pair, by its id."""
    asked = [
        Comparison(f"{turn} {number}", [{"role": "user", "content": words(QUESTION)}], *each)
        for number, each in enumerate((words(a), words(b)) for a, b in TEXTS)
    ]
    with must_not_raise(judge, "a session with other letters"):
        if isinstance(judge, ScoringJudge):
            found = _scores(judge, context, asked)
        else:
            with judge.open(context) as session:
                told = {each.id: each for each in session.compare(asked)}
            found = {id_: (each.winner, each.preference) for id_, each in told.items()}
    return {each.id.partition(" ")[2]: found.get(each.id, (None, None)) for each in asked}


def _scores(
    judge: ScoringJudge, context: JudgeContext, asked: Sequence[Comparison]
) -> dict[str, tuple[Any, ...]]:
    sides = [(each, side, text) for each in asked for side, text in (("a", each.a), ("b", each.b))]
    answers = [Answer(f"{each.id}, {side}", each.prompt, text) for each, side, text in sides]
    with judge.open_scoring(context) as session:
        told = {each.id: each.value for each in session.score(answers)}
    return {each.id: tuple(told.get(f"{each.id}, {side}") for side in "ab") for each in asked}


def _is_apart(each: tuple[Any, ...]) -> bool:
    """Returns whether two scores differ, or a verdict names a winner."""
    if each[0] is None or isinstance(each[0], str):
        return each[0] in ("A", "B")
    return each[1] is not None and each[0] != each[1]


__all__ = ["check_other_scripts"]
