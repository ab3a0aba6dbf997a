"""The differences between two trees of JSON, as lines for people."""

from __future__ import annotations

import json
from typing import Any


def differences(kept: Any, now: Any, place: str = "") -> list[str]:
    """Returns a line ``place: what was kept -> what is now`` for each value that differs.

    >>> differences({"a": {"b": 1}, "c": [1]}, {"a": {"b": 2}, "c": [1, 3]})
    ['a.b: 1 -> 2', 'c[1]: nothing -> 3']
    """
    if isinstance(kept, dict) and isinstance(now, dict):
        names = [*kept, *(name for name in now if name not in kept)]
        pairs = [(f"{place}.{name}" if place else name, name) for name in names]
        return [
            line
            for where, name in pairs
            for line in differences(kept.get(name, _NOTHING), now.get(name, _NOTHING), where)
        ]
    if isinstance(kept, list) and isinstance(now, list):
        longest = max(len(kept), len(now))
        padded = [values + [_NOTHING] * (longest - len(values)) for values in (kept, now)]
        return [
            line
            for i, (a, b) in enumerate(zip(*padded, strict=True))
            for line in differences(a, b, f"{place}[{i}]")
        ]
    # 1 == 1.0 == True in Python, but not in JSON.
    same = type(kept) is type(now) and kept == now
    return [] if same else [f"{place}: {_shown(kept)} -> {_shown(now)}"]


class _Nothing:
    """Marks a missing value, because None is a value of JSON."""


_NOTHING = _Nothing()


def _shown(value: Any) -> str:
    return "nothing" if value is _NOTHING else json.dumps(value, ensure_ascii=False)
