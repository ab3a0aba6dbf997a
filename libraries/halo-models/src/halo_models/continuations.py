"""Tokenises texts whose beginning is tokenised already, without that beginning.

A tokenizer first cuts a text at its added tokens, such as ``<|assistant|>``, and then tokenises
each part by itself. So a prompt and the same prompt with an answer have equal ids up to the last
added token of the prompt. The text from this token on is tokenised by itself. It begins with the
token, because some tokenizers treat the first part of a text differently.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

LONGEST_END = 64
"""Largest number of letters after the last added token of a beginning. Longer ends differ from row
to row, so that the ids of each would be compared for nothing."""

MOST_ENDS = 256
"""Largest number of different ends. A template writes one or a few before all answers."""

Encode = Callable[[Sequence[str]], list[list[int]]]


class Begun(NamedTuple):
    """A text whose beginning is tokenised.

    Attributes:
        beginning: The beginning.
        ids: Its ids.
        rest: The rest of the text.
    """

    beginning: str
    ids: list[int]
    rest: str


class Continuations:
    """Tokenises texts from the last added token of their beginnings on.

    Args:
        tokenizer: A transformers tokenizer.
        encode: Returns the ids of whole texts.
    """

    def __init__(self, tokenizer: Any, encode: Encode) -> None:
        self._encode = encode
        backend = getattr(tokenizer, "backend_tokenizer", None)
        self._added = {} if backend is None else dict(tokenizer.added_tokens_decoder)
        self._normalises = backend is not None and backend.normalizer is not None
        self._cuts: dict[int, str | None] = {}
        self._ends: dict[str, list[int]] = {}

    def encode(self, texts: Sequence[Begun]) -> list[list[int]]:
        """Returns the ids of texts, the same as of `encode` for their whole strings."""
        places = [self._place(text) for text in texts]
        ends = [
            text.beginning + text.rest if place is None else text.beginning[place[1] :] + text.rest
            for text, place in zip(texts, places, strict=True)
        ]
        found = self._encode(ends)
        for number, (text, place) in enumerate(zip(texts, places, strict=True)):
            if place is None:
                continue
            kept, _ = place
            if found[number][:1] == text.ids[kept : kept + 1]:
                found[number] = text.ids[:kept] + found[number]
            else:  # The rest makes another, longer added token of it.
                (found[number],) = self._encode([text.beginning + text.rest])
        return found

    def _place(self, text: Begun) -> tuple[int, int] | None:
        """Returns where the last added token of a beginning is, in its ids and in its letters."""
        kept = len(text.ids) - 1
        while kept >= 0 and text.ids[kept] not in self._added:
            kept -= 1
            if len(text.ids) - kept > LONGEST_END:
                return None
        cut = self._cut(text.ids[kept]) if kept >= 0 else None
        if cut is None:
            return None
        begin = text.beginning.rfind(cut)
        end = text.beginning[begin:]
        if begin < 0 or len(end) > len(cut) + LONGEST_END:
            return None
        if end not in self._ends:
            if len(self._ends) == MOST_ENDS:
                return None
            (self._ends[end],) = self._encode([end])
        # Added tokens may overlap; then the token is not where its string is.
        return (kept, begin) if self._ends[end] == text.ids[kept:] else None

    def _cut(self, id_: int) -> str | None:
        """Returns the string of an added token if every text is cut there; else None."""
        if id_ not in self._cuts:
            token = self._added[id_]
            string = str(token)
            strips = token.lstrip or token.rstrip or token.single_word
            normalised = token.normalized and self._normalises
            within = any(string in str(other)[1:] for other in self._added.values())
            self._cuts[id_] = None if strips or normalised or within else string
        return self._cuts[id_]
