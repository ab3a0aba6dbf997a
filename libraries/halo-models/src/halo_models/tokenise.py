"""Converts rendered text to token ids, with the tokenizer's own rules.

If the content of a text spells a control token, for example when a user writes ``<|im_end|>``, the
text contains a `CUT` inside that string. The text is tokenised unchanged, and then the one id of
the control token is replaced by the ids of its letters. So all other tokens stay unchanged.
"""

from __future__ import annotations

import bisect
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice, pairwise
from typing import Any

from halo_models.batch_encoder import batch_encoder
from halo_models.templates import alternatives
from halo_models.tokenizer_twin import Found, without_prefix

CUT = "\ufdd0"
"""A Unicode noncharacter, which occurs in no text. It marks a string that is only spelled."""


CHARACTERS_PER_CALL = 1_000_000
"""Largest number of characters that are tokenised in one call."""


def batches_of(texts: Sequence[str], most: int) -> Iterator[list[str]]:
    """Yields texts in order, in batches of at most `most` characters.

    >>> list(batches_of(["ab", "c", "d", "a longer one"], 3))
    [['ab', 'c'], ['d'], ['a longer one']]
    """
    batch: list[str] = []
    room = most
    for text in texts:
        if batch and len(text) > room:
            yield batch
            batch, room = [], most
        batch.append(text)
        room -= len(text)
    if batch:
        yield batch


def mark_spelled(text: str, protected: re.Pattern[str]) -> str:
    """Returns a text with a `CUT` inside every string that spells a protected token.

    >>> mark_spelled("say <|user|> now", re.compile(re.escape("<|user|>"))).replace(CUT, "#")
    'say <|us#er|> now'
    """
    if CUT not in text and protected.search(text) is None:
        return text  # This is true for nearly all texts.

    def halves(match: re.Match[str]) -> str:
        name = match.group()
        return name[: len(name) // 2] + CUT + name[len(name) // 2 :]

    return protected.sub(halves, text.replace(CUT, ""))


def mark_all(value: Any, mark: Callable[[str], str]) -> Any:
    """Returns a message, or any part of it, with a function applied to every text."""
    if isinstance(value, str):
        return mark(value)
    # Checking for dict first is much faster than checking for Mapping, an abstract class.
    if isinstance(value, dict) or isinstance(value, Mapping):
        # The keys of a call's arguments are also text that a model wrote.
        return {mark_all(key, mark): mark_all(item, mark) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [mark_all(item, mark) for item in value]
    return value


class Tokeniser:
    """Tokenises rendered texts in batches, and adds nothing to them.

    Args:
        tokenizer: A transformers tokenizer.
        protected: Strings of the added tokens that stay text where content spells them.
    """

    def __init__(self, tokenizer: Any, protected: Iterable[str]) -> None:
        vocabulary = tokenizer.get_vocab()
        strings = [string for string in protected if string in vocabulary]
        self.protected = alternatives(strings)
        self._tokenizer = tokenizer
        self._protected_ids = {vocabulary[string] for string in strings}
        self._unknown = {tokenizer.unk_token_id}
        # A letter that the tokenizer does not know is not an added token.
        self._added_ids = {*tokenizer.get_added_vocab().values()} - self._unknown
        self._ids_of = batch_encoder(tokenizer)
        self._loose = _is_loose(tokenizer, strings)
        self._letters: Callable[[str], Found] | None = None
        self._continuation: Callable[[str], Found] | None = None

    def mark(self, value: Any) -> Any:
        """Returns a message, or any part of it, with a `CUT` in each spelled protected token."""
        return mark_all(value, self._marked)

    def recognised(self, strings: Sequence[str]) -> list[str]:
        """Returns those strings of added tokens that are one token after any text.

        A token that is recognised only between words, or only at the start of a text, is not one.
        """
        vocabulary = self._tokenizer.get_vocab()
        found = self._native([f"a{string}" for string in strings])
        return [
            string
            for string, ids in zip(strings, found, strict=True)
            if ids[-1:] == [vocabulary[string]]
        ]

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Returns the ids of each text. A text may contain `CUT`."""
        native = iter(self._native([text for text in texts if CUT not in text]))
        return [self._encode_spelled(t) if CUT in t else next(native) for t in texts]

    def encode_apart(self, text: str) -> list[int]:
        """Returns the ids of the rest of a text, which begins at the end of one of its tokens.

        A tokenizer that puts a space before every text does not put one before this rest. From the
        first added token on, the rest is tokenised like any other text.
        """
        if self._continuation is None:
            self._continuation = without_prefix(self._tokenizer, added=True)
        if getattr(self._tokenizer, "backend_tokenizer", None) is None:
            parts = _spelled_parts(text, self.protected)
            return [
                token
                for part, spelled in parts
                for token in (self._spell(part) if spelled else self._continuation(part).ids)
            ]
        found = self._continuation(text.replace(CUT, ""))
        added = (i for i, token in enumerate(found.ids) if token in self._added_ids)
        first = next(added, len(found.ids))
        if first == len(found.ids):
            return found.ids
        return [*found.ids[:first], *self.encode([_behind(text, found.starts[first])])[0]]

    def _marked(self, text: str) -> str:
        marked = mark_spelled(text, self.protected)
        if not (self._loose and text):
            return marked
        # The tokenizer's normalisation turns other spellings, such as capitals, into the token.
        plain = text.replace(CUT, "")
        places = [at - n for n, at in enumerate(_positions(marked))]
        encoded = self._tokenizer(
            plain, add_special_tokens=False, return_offsets_mapping=True, verbose=False
        )
        tokens = zip(encoded["input_ids"], encoded["offset_mapping"], strict=True)
        for token, (start, stop) in tokens:
            known = any(start < place < stop for place in places)
            if token in self._protected_ids - self._unknown and stop - start > 1 and not known:
                places.append((start + stop) // 2)
        ends = [0, *sorted(places), len(plain)]
        return CUT.join(plain[begin:end] for begin, end in pairwise(ends))

    def _native(self, texts: Sequence[str]) -> list[list[int]]:
        # A signal is only seen between two calls: each takes a second at most, but for one longer
        # text.
        ids: list[list[int]] = []
        for batch in batches_of(texts, CHARACTERS_PER_CALL):
            ids += self._ids_of(batch)
        return ids

    def _encode_spelled(self, text: str) -> list[int]:
        plain = text.replace(CUT, "")
        cuts = [at - n for n, at in enumerate(_positions(text))]
        if getattr(self._tokenizer, "backend_tokenizer", None) is None:
            return self._encode_in_parts(text)
        encoded = self._tokenizer(
            plain, add_special_tokens=False, return_offsets_mapping=True, verbose=False
        )
        ids: list[int] = []
        for token, (start, stop) in zip(
            encoded["input_ids"], encoded["offset_mapping"], strict=True
        ):
            # The token of a spelled string contains the position of its cut.
            position = bisect.bisect_right(cuts, start)
            spelled = position < len(cuts) and cuts[position] < stop
            if spelled and token in self._protected_ids:
                ids.extend(self._spell(plain[start:stop]))
            else:
                ids.append(token)
        return ids

    def _encode_in_parts(self, text: str) -> list[int]:
        # The tokenizer does not give positions of tokens, so the parts between are tokenised apart.
        parts = _spelled_parts(text, self.protected)
        native = iter(self._native([part for part, spelled in parts if not spelled]))
        return [
            token
            for part, spelled in parts
            for token in (self._spell(part) if spelled else next(native))
        ]

    def _spell(self, string: str) -> list[int]:
        """Returns the ids of a string as letters. None of them is a protected token."""
        if self._letters is None:
            self._letters = without_prefix(self._tokenizer, added=False)
        ids = self._letters(string).ids
        # All letters that the tokenizer does not know have the same token.
        unknown = self._unknown if string != self._tokenizer.unk_token else set()
        if len(string) < 2 or not (self._protected_ids - unknown) & set(ids):
            return ids
        # The model's own vocabulary contains the string too, but its halves cannot form it.
        half = len(string) // 2
        return self._spell(string[:half]) + self._spell(string[half:])


def _is_loose(tokenizer: Any, strings: Iterable[str]) -> bool:
    """Returns whether the tokenizer reads other spellings as some of these added tokens."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None or backend.normalizer is None:
        return False
    wanted = {*strings}
    added = tokenizer.added_tokens_decoder.values()
    return any(token.normalized and str(token) in wanted for token in added)


def _positions(text: str) -> list[int]:
    return [place for place, letter in enumerate(text) if letter == CUT]


def _behind(text: str, length: int) -> str:
    """Returns the rest of a text after its first `length` letters, not counting `CUT`s."""
    letters = (i for i, letter in enumerate(text) if letter != CUT)
    return text[next(islice(letters, length, None), len(text)) :]


def _spelled_parts(text: str, protected: re.Pattern[str]) -> list[tuple[str, bool]]:
    """Returns the parts of a text with `CUT`s, each with whether it is a spelled string."""
    marked = {
        mark_spelled(string, protected): string
        for string in protected.findall(text.replace(CUT, ""))
    }
    parts: list[tuple[str, bool]] = []
    begin = 0
    for match in alternatives(list(marked)).finditer(text):
        parts.append((text[begin : match.start()], False))
        parts.append((marked[match.group()], True))
        begin = match.end()
    parts.append((text[begin:], False))
    return [(part, spelled) for part, spelled in parts if part]
