"""The path of a number in a JSON reply: keys and places with dots between them.

A part ``name=value`` selects the one item of a list whose field `name` is `value`, because
classifiers sort their labels by score. A value with dots is quoted: ``0.label="v1.toxic".score``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from math import isfinite
from typing import Any

_PART = re.compile(r'((?:"[^"]*"|[^."])*)(\.|\Z)')
_SELECTS = re.compile(r'([^=]+)=(?:"([^"]*)"|([^"]*))')
SHOWN = 300
"""Maximum number of characters of a reply in a message."""
NumberOrReason = tuple[float | None, str]
"""A number, or None and the reason why there is none."""


def parts_of(path: str) -> list[str]:
    """Returns the parts of a path.

    >>> parts_of('0.label="v1.toxic".score')
    ['0', 'label="v1.toxic"', 'score']

    Raises:
        ValueError: When a quotation mark has no partner.
    """
    parts, begin = [], 0
    while True:
        found = _PART.match(path, begin)
        if found is None:
            raise ValueError(
                f"{path!r} has a quotation mark without a partner; expected a path such as "
                'result.toxicity, 0.score or 0.label="v1.toxic".score'
            )
        parts.append(found.group(1))
        begin = found.end()
        if not found.group(2):
            return parts


def number_at(reply: Any, path: str) -> NumberOrReason:
    """Returns the number at a path of a reply, or None and the reason why there is none.

    >>> number_at({"labels": [{"score": 0.25}]}, "labels.0.score")
    (0.25, '')
    >>> number_at([{"label": "kind", "score": 0.9}, {"label": "toxic", "score": 0.1}],
    ...           "label=toxic.score")
    (0.1, '')
    """
    value = reply
    for part in parts_of(path):
        selects = _SELECTS.fullmatch(part)
        if isinstance(value, Mapping) and part in value:
            value = value[part]
        elif isinstance(value, list) and part.isdecimal() and int(part) < len(value):
            value = value[int(part)]
        elif isinstance(value, list) and selects is not None:
            name, quoted, plain = selects.groups()
            wanted = plain if quoted is None else quoted
            items = [item for item in value if isinstance(item, Mapping) and name in item]
            chosen = [item for item in items if _text(item[name]) == wanted]
            if len(chosen) != 1:
                there = ", ".join(repr(_text(item[name])) for item in items) or "none"
                what = f"has {len(chosen)} items with {name} {wanted!r}; expected one"
                return None, f"the reply {what}. {name} is there: {there}"[:SHOWN]
            value = chosen[0]
        else:
            return None, f"the reply has no {path!r}: {repr(reply)[:SHOWN]}"
    with suppress(OverflowError):  # Python's integers have no largest one.
        if isinstance(value, int | float) and isfinite(value):
            return float(value), ""
    came = repr(value)[:SHOWN]
    return None, f"{path!r} of the reply is {came}; expected a finite number"


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
