"""Chooses an exact share of rows by their content: the same rows whatever their order."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from fractions import Fraction

from halo_core.feedback import COLUMNS, prompt_id
from halo_data.outcome import Row
from halo_data.wrapping import kind_of


def count_of_share(share: float, of: int) -> int:
    """Returns share x of to the nearest whole number, halves upwards.

    The share is taken as the decimal number it is written as, so 0.1 is exactly a tenth.

    >>> [count_of_share(0.1, n) for n in (4, 5, 25)]
    [0, 1, 3]
    """
    return int(Fraction(str(share)) * of + Fraction(1, 2))


def in_order(rows: Sequence[Row], seed: int, purpose: str) -> list[int]:
    """Returns the positions of rows in an order that only their content and a seed decide.

    The first ten of it are among the first fifty, and more rows do not change the order of those
    there were. Equal rows have places of their own, the first of them always the same.

    Args:
        rows: Rows of any kind.
        seed: Another seed gives another order.
        purpose: What the order is for; another purpose gives an independent one.
    """
    seen: Counter[str] = Counter()
    keys = []
    for row in rows:
        content = _content(row)
        seen[content] += 1
        text = f"{purpose}/{seed}/{seen[content]}/{content}"
        keys.append(hashlib.sha256(text.encode()).digest())
    return sorted(range(len(rows)), key=lambda i: (keys[i], i))


def _content(row: Row) -> str:
    """Returns what names a row; its label does not count, so that it may change."""
    kind = kind_of(row)
    names = [n for n, type_ in COLUMNS[kind].items() if type_ in ("string", "strings")]
    texts = sorted(str(row[name]) for name in names)
    return "\x00".join([prompt_id(row["prompt"]) if "prompt" in row else "", *texts])
