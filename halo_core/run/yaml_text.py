"""Writes a tree of plain values as YAML, fast.

A suite writes and compares the resolved spec of each cell. ruamel.yaml takes about 50 us for each
value, most of it to decide how the value is quoted. As long as a line has room, that depends on the
value alone, so each value is decided once. A tree for which this is not enough, such as one with
long sentences, is written by ruamel.yaml. The bytes are the same.
"""

from __future__ import annotations

import functools
import io
from collections.abc import Iterator
from typing import Any

from ruamel.yaml import YAML

WIDTH = 80
"""Number of columns after which ruamel.yaml breaks lines."""


class _OtherError(Exception):
    """The tree has something that only ruamel.yaml decides."""


def to_yaml(tree: Any) -> str:
    """Returns a tree of plain values as YAML in block style, with the keys in their order.

    Args:
        tree: Mappings, lists, texts, numbers, booleans and None.

    Raises:
        ruamel.yaml.representer.RepresenterError: When it has a value of another type.
    """
    try:
        lines = [" " * indent + line for indent, line in _lines(tree, 0, set())]
    except _OtherError:
        return _by_ruamel(tree)
    return "\n".join([*lines, ""])


def _by_ruamel(tree: Any) -> str:
    yaml: Any = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False
    text = io.StringIO()
    yaml.dump(tree, text)
    return text.getvalue()


def _lines(tree: Any, indent: int, seen: set[int]) -> Iterator[tuple[int, str]]:
    """Yields the lines of a mapping or list that is not empty, each with its indent."""
    if id(tree) in seen:  # The second place would refer to the first.
        raise _OtherError
    seen.add(id(tree))
    if type(tree) is dict and tree:
        for key, value in tree.items():
            yield from _pair(key, value, indent, seen)
    elif type(tree) is list and tree:
        for value in tree:
            yield from _item(value, indent, seen)
    else:
        raise _OtherError


def _pair(key: Any, value: Any, indent: int, seen: set[int]) -> Iterator[tuple[int, str]]:
    start = _key(key)
    if value and type(value) in (dict, list):
        yield indent, start
        yield from _lines(value, indent + (2 if type(value) is dict else 0), seen)
        return
    text = _leaf(value, seen)
    if indent + len(start) + 1 + len(text) <= WIDTH:
        yield indent, f"{start} {text}"
    elif text == value and " " not in text:  # A long word has a line of its own.
        yield indent, f"{start} "
        yield indent + 2, text
    else:
        raise _OtherError


def _item(value: Any, indent: int, seen: set[int]) -> Iterator[tuple[int, str]]:
    if value and type(value) in (dict, list):
        for number, (inner, line) in enumerate(_lines(value, indent + 2, seen)):
            yield (inner, line) if number else (indent, f"- {line}")
        return
    text = _leaf(value, seen)
    if indent + 2 + len(text) > WIDTH and (text != value or " " in text):
        raise _OtherError
    yield indent, f"- {text}"


def _leaf(value: Any, seen: set[int]) -> str:
    kind = type(value)
    if kind is str:
        return _text(value)
    if kind is bool or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    if kind is int:
        return str(value)
    if kind is float:
        return _number(repr(value))
    if kind not in (dict, list) or id(value) in seen:
        raise _OtherError
    seen.add(id(value))
    return "{}" if kind is dict else "[]"


@functools.lru_cache(maxsize=4096)
def _text(value: str) -> str:
    return _one_line(_by_ruamel([value])).removeprefix("- ")


@functools.lru_cache(maxsize=1024)
def _number(value: str) -> str:
    return _one_line(_by_ruamel([float(value)])).removeprefix("- ")


def _key(value: Any) -> str:
    """Returns a key with its colon."""
    if type(value) is not str:
        raise _OtherError
    return _key_text(value)


@functools.lru_cache(maxsize=1024)
def _key_text(value: str) -> str:
    line = _one_line(_by_ruamel({value: None}))
    if line.startswith("? "):
        raise _OtherError
    return line.removesuffix(" null")


def _one_line(written: str) -> str:
    lines = written.splitlines()  # U+2028 ends a line, too.
    if len(lines) != 1:
        raise _OtherError
    return lines[0]
