"""Marks the words that differ between two texts."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

KEPT = 0.2
"""Smallest share of common words at which words are marked. Below it, a text is new as a whole."""
LONGEST = 4000
"""Largest number of words of a text whose words are compared one by one."""


@dataclass(frozen=True)
class Piece:
    """A part of a text.

    Attributes:
        text: The words with the spaces around them.
        changed: Whether the other text does not have them at this place.
    """

    text: str
    changed: bool = False


@dataclass(frozen=True)
class Marked:
    """Two texts with marks.

    Attributes:
        before: The pieces of the first text.
        after: The pieces of the second text.
        remark: A fact that the marks cannot show, or "".
    """

    before: Sequence[Piece]
    after: Sequence[Piece]
    remark: str = ""


def marked_words(before: str, after: str) -> Marked:
    """Returns two texts in pieces; words that only one of them has are marked.

    Spaces are not compared. If the texts have few words in common, nothing is marked, because a
    mark on every word shows nothing; the remark says so.

    >>> [piece.text for piece in marked_words("a red cow", "a blue cow").after if piece.changed]
    ['blue ']
    """
    if before == after:
        return Marked(plain(before), plain(after), "the same text")
    old, new = _words(before), _words(after)
    if max(len(old), len(new)) > LONGEST:
        return Marked(plain(before), plain(after), f"not marked: over {LONGEST:,} words")
    matcher = SequenceMatcher(None, [word.strip() for word in old], [word.strip() for word in new])
    if matcher.ratio() < KEPT:
        return Marked(plain(before), plain(after), "few words in common")
    sides: tuple[list[Piece], list[Piece]] = ([], [])
    for tag, i, j, k, m in matcher.get_opcodes():
        for side, words in zip(sides, (old[i:j], new[k:m]), strict=True):
            if words:
                side.append(Piece("".join(words), tag != "equal"))
    return Marked(*sides)


def plain(text: str) -> list[Piece]:
    """Returns a text as one piece without marks."""
    return [Piece(text)] if text else []


def _words(text: str) -> list[str]:
    """Returns the words, each with the spaces after it; the first also with those before it."""
    return re.findall(r"^\s*\S+\s*|\S+\s*|^\s+$", text)
