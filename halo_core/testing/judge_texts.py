"""Texts that suit a judge: the words in its options, alone, repeated, and as keys of JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from halo_core.feedback import Prompt
from halo_core.judge import Comparison, Judge
from halo_core.scoring_judge import Answer

MOST_WORDS = 4
"""Number of words of a judge's options that texts are made of."""

LONGEST_WORD = 60
"""Length up to which an option is a word, and not a template or a rubric."""

PROMPT: Prompt = ({"role": "user", "content": "Say it in your own words."},)


def words_of(judge: Judge) -> Sequence[str]:
    """Returns texts in the options of a judge, which its rule may be about.

    Args:
        judge: The judge. Options that are lists of texts count, too.
    """
    found: dict[str, None] = {}
    for name in type(judge).model_fields:
        value = getattr(judge, name)
        for each in value if isinstance(value, list | tuple | set | frozenset) else [value]:
            if isinstance(each, str) and 0 < len(each.strip()) <= LONGEST_WORD:
                found[each] = None
    return sorted(found)[:MOST_WORDS]


def own_comparisons(judge: Judge) -> Sequence[Comparison]:
    """Returns comparisons of texts with and without the words of a judge's options.

    Args:
        judge: The judge.
    """
    return [
        Comparison(f"Own {number}", PROMPT, a, b)
        for number, (a, b) in enumerate(_pairs(words_of(judge)))
    ]


def own_answers(judge: Judge) -> Sequence[Answer]:
    """Returns the texts of `own_comparisons` one by one.

    Args:
        judge: The judge.
    """
    return [
        Answer(f"{each.id}, {side}", each.prompt, text)
        for each in own_comparisons(judge)
        for side, text in (("a", each.a), ("b", each.b))
    ]


def _pairs(words: Sequence[str]) -> Iterator[tuple[str, str]]:
    yield '{"answer": 1, "why": ["moo"]}', "{}"
    for word in words:
        yield f"Moo, {word}. {word}!", "Moo, and nothing else."
        yield "{}", json.dumps({word: 1})


__all__ = ["own_answers", "own_comparisons", "words_of"]
