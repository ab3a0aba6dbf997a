"""From rendered text to token ids, as the tokenizer itself gives them.

A text whose content spells a control token, such as a user who writes ``<|im_end|>``, holds a `CUT`
inside that string. The text is tokenised as it stands, and then the one id of the control token is
replaced by the ids of its letters: so all other tokens are the tokenizer's own.
"""

from __future__ import annotations

import bisect
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from typing import Any, NamedTuple

from halo_models.templates import alternatives

CUT = "\ufdd0"
"""A Unicode noncharacter, which no text holds: it stands inside a string that is only spelled."""


def mark_spelled(text: str, protected: re.Pattern[str]) -> str:
    """Returns a text with a `CUT` inside every string that spells a protected token.

    >>> mark_spelled("say <|user|> now", re.compile(re.escape("<|user|>"))).replace(CUT, "#")
    'say <|us#er|> now'
    """

    def halves(match: re.Match[str]) -> str:
        name = match.group()
        return name[: len(name) // 2] + CUT + name[len(name) // 2 :]

    return protected.sub(halves, text.replace(CUT, ""))


def mark_all(value: Any, protected: re.Pattern[str]) -> Any:
    """Returns a message, or any part of it, with every text as `mark_spelled` returns it."""
    if isinstance(value, str):
        return mark_spelled(value, protected)
    # A look at dict first is much faster than one at Mapping, which is an abstract class.
    if isinstance(value, dict) or isinstance(value, Mapping):
        # The keys of a call's arguments are text that a model wrote, too.
        return {mark_all(key, protected): mark_all(item, protected) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [mark_all(item, protected) for item in value]
    return value


class _Found(NamedTuple):
    """Token ids, and where each begins in the text, as far as that is known."""

    ids: list[int]
    starts: list[int]


class Tokeniser:
    """Tokenises rendered texts in batches; adds nothing to them.

    Args:
        tokenizer: One of transformers.
        protected: Strings of the added tokens that stay text where content spells them.
    """

    def __init__(self, tokenizer: Any, protected: Iterable[str]) -> None:
        vocabulary = tokenizer.get_vocab()
        strings = [string for string in protected if string in vocabulary]
        self.protected = alternatives(strings)
        self._tokenizer = tokenizer
        self._protected_ids = {vocabulary[string] for string in strings}
        # A letter that the tokenizer does not know is no added token.
        self._added_ids = {*tokenizer.get_added_vocab().values()} - {tokenizer.unk_token_id}
        self._letters: Callable[[str], _Found] | None = None
        self._continuation: Callable[[str], _Found] | None = None

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Returns the ids of each text, which may hold `CUT`."""
        ids: list[list[int]] = [[] for _ in texts]
        whole = [i for i, text in enumerate(texts) if CUT not in text]
        for i, tokens in zip(whole, self._native([texts[i] for i in whole]), strict=True):
            ids[i] = tokens
        for i, text in enumerate(texts):
            if CUT in text:
                ids[i] = self._encode_spelled(text)
        return ids

    def encode_apart(self, text: str) -> list[int]:
        """Returns the ids of the rest of a text, which begins where a token of the text ends.

        A tokenizer that puts a space before every text puts none before this one. From the first
        added token on, the rest is tokenised like any other text.
        """
        if self._continuation is None:
            self._continuation = _without_prefix(self._tokenizer, added=True)
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

    def _native(self, texts: list[str]) -> list[list[int]]:
        if not texts:
            return []
        encoded = self._tokenizer(
            texts, add_special_tokens=False, return_attention_mask=False, verbose=False
        )
        return list(encoded["input_ids"])

    def _encode_spelled(self, text: str) -> list[int]:
        pieces = text.split(CUT)
        plain = "".join(pieces)
        cuts: list[int] = []
        for piece in pieces[:-1]:
            cuts.append((cuts[-1] if cuts else 0) + len(piece))
        if getattr(self._tokenizer, "backend_tokenizer", None) is None:
            return self._encode_in_parts(text)
        encoded = self._tokenizer(
            plain, add_special_tokens=False, return_offsets_mapping=True, verbose=False
        )
        ids: list[int] = []
        for token, (start, stop) in zip(
            encoded["input_ids"], encoded["offset_mapping"], strict=True
        ):
            # The token of a spelled string holds the position of its cut.
            position = bisect.bisect_right(cuts, start)
            spelled = position < len(cuts) and cuts[position] < stop
            if spelled and token in self._protected_ids:
                ids.extend(self._spell(plain[start:stop]))
            else:
                ids.append(token)
        return ids

    def _encode_in_parts(self, text: str) -> list[int]:
        # A tokenizer that does not say where its tokens stand: what is between is tokenised apart.
        parts = _spelled_parts(text, self.protected)
        native = iter(self._native([part for part, spelled in parts if not spelled]))
        return [
            token
            for part, spelled in parts
            for token in (self._spell(part) if spelled else next(native))
        ]

    def _spell(self, string: str) -> list[int]:
        """Returns the ids of a string as letters, none of which is a protected token."""
        if self._letters is None:
            self._letters = _without_prefix(self._tokenizer, added=False)
        ids = self._letters(string).ids
        if len(string) < 2 or self._protected_ids.isdisjoint(ids):
            return ids
        # The model's own vocabulary holds the string, too: the halves cannot make it.
        half = len(string) // 2
        return self._spell(string[:half]) + self._spell(string[half:])


def _behind(text: str, length: int) -> str:
    """Returns what stands behind so many letters of a text, in which `CUT`s do not count."""
    letters = (i for i, letter in enumerate(text) if letter != CUT)
    return text[next(islice(letters, length, None), len(text)) :]


def _spelled_parts(text: str, protected: re.Pattern[str]) -> list[tuple[str, bool]]:
    """Returns the parts of a text with `CUT`s, and whether each is a spelled string."""
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


def _without_prefix(tokenizer: Any, *, added: bool) -> Callable[[str], _Found]:
    """Returns a tokenizer's rules as a function that puts no space before a text.

    Args:
        tokenizer: One of transformers.
        added: Whether added tokens are recognised.
    """
    from tokenizers import Tokenizer

    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        return _slow_ids(tokenizer, added=added)
    rules = json.loads(backend.to_str())
    if not added:
        rules["added_tokens"] = []
    rules |= {"padding": None, "truncation": None, "post_processor": None}
    for part in ("normalizer", "pre_tokenizer"):
        rules[part] = _no_prefix(rules[part])
    twin = Tokenizer.from_str(json.dumps(rules))

    def found(text: str) -> _Found:
        encoded = twin.encode(text, add_special_tokens=False)
        return _Found(encoded.ids, [start for start, _ in encoded.offsets])

    return found


def _slow_ids(tokenizer: Any, *, added: bool) -> Callable[[str], _Found]:
    def found(text: str) -> _Found:
        encoded = tokenizer(
            text, add_special_tokens=False, split_special_tokens=not added, verbose=False
        )
        return _Found(list(encoded["input_ids"]), [])

    return found


def _no_prefix(rule: Any) -> Any:
    """Returns a normaliser or pre-tokeniser that puts nothing before a text; None for nothing."""
    if rule is None or rule["type"] == "Prepend":
        return None
    if rule["type"] == "Sequence":
        name = "normalizers" if "normalizers" in rule else "pretokenizers"
        parts = [part for part in map(_no_prefix, rule[name]) if part is not None]
        return {**rule, name: parts} if parts else None
    if rule["type"] == "Metaspace":
        return {**rule, "prepend_scheme": "never"}
    if rule["type"] == "ByteLevel":
        return {**rule, "add_prefix_space": False}
    return rule
