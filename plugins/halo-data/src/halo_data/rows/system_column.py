"""Uses the column `system` of a row as the system message of its conversation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from halo_core.errors import DataError
from halo_data.rows.last_turn import role_of
from halo_data.rows.tools import shown

SYSTEM = "system"
"""The standard name of the column."""

_ANSWERS = ("completion", "chosen", "rejected")
_SYSTEM_ROLES = ("system", "developer")


def with_system(row: dict[str, Any], columns: Sequence[str], *, mapped: bool, place: str) -> bool:
    """Puts the column `system` in front of a row's messages; returns whether it was read.

    ShareGPT's rows have it next to `messages`. It is used if it is text and the messages do not
    begin with another system message. Otherwise it has two meanings, and the row stays as it is.
    Next to a `prompt`, or to two conversations, it may also be the name of the program that
    answered. There it is used only if the option `columns` names it.

    Args:
        row: A row with standard column names, which is changed.
        columns: The columns of its form.
        mapped: Whether the option `columns` names it. Then another meaning is an error.
        place: ``file:line`` of the row.

    Raises:
        DataError: When it is named and cannot be used.
    """
    if SYSTEM not in row:
        return False
    holders = [name for name in ("messages", "prompt") if name in columns]
    if not holders and mapped:
        holders = [name for name in ("chosen", "rejected") if name in columns]
    if not holders or (holders == ["prompt"] and not mapped):
        if mapped:
            raise _refused(f"rows of {' + '.join(columns)} have no place for it", place)
        return False
    text = row[SYSTEM]
    if problem := _problem(text, [row[name] for name in holders]):
        if mapped:
            raise _refused(problem, place)
        return False
    # A completion may repeat the turns of the prompt, and then it begins as the prompt does.
    whole = [n for n in _ANSWERS if n in columns and isinstance(row[n], list) and len(row[n]) > 1]
    for name in {*holders, *whole}:
        row[name] = _before(row[name], text)
    return True


def _problem(text: Any, conversations: Sequence[Any]) -> str:
    """Returns why a text cannot be the system message of conversations; "" if it can."""
    if not isinstance(text, str):
        return f"it is {shown(text)}; expected text"
    for conversation in conversations:
        first = conversation[0] if isinstance(conversation, list) and conversation else None
        if role_of(first) in _SYSTEM_ROLES and _content(first) != text and text.strip():
            return f"the messages begin with another system message, {shown(_content(first))}"
    return ""


def _before(conversation: Any, text: str) -> Any:
    if not text.strip():
        return conversation
    if isinstance(conversation, str):
        conversation = [{"role": "user", "content": conversation}] if conversation.strip() else []
    if not isinstance(conversation, list) or not conversation:
        return conversation  # An empty prompt drops the row, and another type is an error.
    if role_of(conversation[0]) in _SYSTEM_ROLES:
        return conversation
    return [{"role": "system", "content": text}, *conversation]


def _content(turn: Any) -> Any:
    assert isinstance(turn, Mapping)
    return turn.get("content") if turn.get("from") is None else turn.get("value")


def _refused(why: str, place: str) -> DataError:
    return DataError(
        f"columns.system names the system message, but {why}. Leave it out of columns, or change "
        "the rows",
        location=place,
    )
