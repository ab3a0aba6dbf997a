"""Names and parameters that MLflow accepts."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from halo_core.redact import is_secret, redact

LONGEST_NAME = 250
LONGEST_VALUE = 6000
_NOT_ALLOWED = re.compile(r"[^A-Za-z0-9_\-. :/]")
_EMPTY_PARTS = re.compile(r"/{2,}")


def clean_name(name: str) -> str:
    """Returns a name with letters, digits and ``_-. :/`` only, that reads as a relative path.

    One name that MLflow does not take would reject the whole batch it is in.

    >>> clean_name("eval/test[0]/loss")
    'eval/test_0_/loss'
    >>> clean_name("/../a//b/")
    '_/a/b'
    """
    name = _EMPTY_PARTS.sub("/", _NOT_ALLOWED.sub("_", name)).strip("/")[:LONGEST_NAME].rstrip("/")
    parts = ["_" if part in (".", "..") else part for part in name.split("/")]
    return "/".join(parts) or "_"


def flatten(tree: Any) -> dict[str, str]:
    """Returns a tree's leaves by dotted path, as MLflow's parameters: no None and no secrets.

    >>> flatten({"train": {"beta": 0.1, "seed": None}, "data": [{"use": "hh"}]})
    {'train.beta': '0.1', 'data.0.use': 'hh'}
    """
    return {
        clean_name(path).replace("/", "."): redact(_text(value))[:LONGEST_VALUE]
        for path, value in _leaves(tree, "")
        if value is not None and value != "" and not is_secret(path)
    }


def _leaves(tree: Any, path: str) -> Iterator[tuple[str, Any]]:
    items: Any = None
    if isinstance(tree, Mapping):
        items = tree.items()
    elif isinstance(tree, list):
        items = enumerate(tree)
    if items is None:
        yield path, tree
        return
    for key, value in items:
        yield from _leaves(value, f"{path}.{key}" if path else str(key))


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
