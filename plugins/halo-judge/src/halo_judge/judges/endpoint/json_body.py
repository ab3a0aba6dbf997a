"""Reads the body of a reply as JSON, in any encoding, and makes its texts fit to be stored."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

_HALF = re.compile("[\ud800-\udfff]")
REPLACEMENT = "\ufffd"
"""The character that takes the place of bytes that are not text."""


def read_json(content: bytes, charset: str | None = None) -> Any:
    r"""Returns the JSON tree of a body, with `REPLACEMENT` for parts that are not text.

    It reads UTF-8, UTF-16 and UTF-32, with and without a byte-order mark. Other bytes are read in
    the given encoding.

    Args:
        content: The body.
        charset: The encoding that the reply's header names; None if it names none.

    Raises:
        ValueError: When the body is not JSON, or is nested too deeply.

    >>> read_json(b'["half of an emoji: \\ud83d"]')
    ['half of an emoji: �']
    """
    try:
        try:
            tree = json.loads(content)
        except UnicodeDecodeError:
            tree = json.loads(_decoded(content, charset))
        return whole_texts(tree)
    except RecursionError:
        raise ValueError("the JSON is nested too deeply") from None


def whole_texts(tree: Any) -> Any:
    """Returns a JSON tree in which `REPLACEMENT` takes the place of each half of a surrogate pair.

    Such a half can neither be sent nor written to a file.
    """
    if isinstance(tree, str):
        return _HALF.sub(REPLACEMENT, tree)
    if isinstance(tree, Mapping):
        return {whole_texts(name): whole_texts(value) for name, value in tree.items()}
    if isinstance(tree, list):
        return [whole_texts(value) for value in tree]
    return tree


def can_replace(charset: str | None) -> bool:
    """Returns whether Python knows an encoding, and reads bytes in it that are not text.

    >>> can_replace("latin-1"), can_replace("klingon"), can_replace("idna"), can_replace(None)
    (True, False, False, True)
    """
    try:
        b"\xff".decode(charset or "utf-8", "replace")
    except (LookupError, ValueError):
        return False
    return True


def _decoded(content: bytes, charset: str | None) -> str:
    known = charset if charset and can_replace(charset) else "utf-8"
    return content.decode(known, "replace")
