"""Leaves out the turns of the user after the last answer of a conversation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from halo_data.rows.messages import ROLES

LATER = "user turns after the last answer"
"""Name of the count of rows with such turns."""

_WHOLE = {
    ("messages",): ("messages",),
    ("messages", "label"): ("messages",),
    ("chosen", "rejected"): ("chosen", "rejected"),
}
"""The columns with whole conversations, by the columns of a form."""


def without_later_turns(row: dict[str, Any], columns: tuple[str, ...]) -> bool:
    """Leaves the user's turns after the last answer out of a row, and returns whether it had some.

    Nobody answered them, so they are part of no example. A conversation without an answer, and one
    in which something else follows the answer, stays as it is.

    Args:
        row: A row with standard column names, which is changed.
        columns: The columns of its form.
    """
    found = False
    for name in _WHOLE.get(columns, ()):
        turns = row[name]
        if not isinstance(turns, list):
            continue
        end = len(turns)
        while end and role_of(turns[end - 1]) == "user":
            end -= 1
        if end < len(turns) and end and role_of(turns[end - 1]) == "assistant":
            row[name] = turns[:end]
            found = True
    return found


def role_of(turn: Any) -> str | None:
    """Returns halo's role of a turn in either convention; None if it has none."""
    if not isinstance(turn, Mapping):
        return None
    role = turn.get("role") if turn.get("from") is None else turn["from"]
    return ROLES.get(role) if isinstance(role, str) else None
