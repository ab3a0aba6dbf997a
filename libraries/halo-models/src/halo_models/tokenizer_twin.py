"""A tokenizer's rules without those that put a space before a text."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, NamedTuple


class Found(NamedTuple):
    """Token ids, and where each begins in the text, if that is known."""

    ids: list[int]
    starts: list[int]


def without_prefix(tokenizer: Any, *, added: bool) -> Callable[[str], Found]:
    """Returns a tokenizer's rules as a function that puts no space before a text.

    Args:
        tokenizer: A transformers tokenizer.
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

    def found(text: str) -> Found:
        encoded = twin.encode(text, add_special_tokens=False)
        return Found(encoded.ids, [start for start, _ in encoded.offsets])

    return found


def _slow_ids(tokenizer: Any, *, added: bool) -> Callable[[str], Found]:
    def found(text: str) -> Found:
        encoded = tokenizer(
            text, add_special_tokens=False, split_special_tokens=not added, verbose=False
        )
        return Found(list(encoded["input_ids"]), [])

    return found


def _no_prefix(rule: Any) -> Any:
    """Returns a normaliser or pre-tokeniser that puts nothing before a text, or None."""
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
