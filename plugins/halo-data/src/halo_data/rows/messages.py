"""Turns what rows hold, text or chat messages of either convention, into halo's messages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from halo_core.errors import DataError
from halo_core.feedback import Message

ROLES: Mapping[str, str] = {
    "system": "system",
    "user": "user",
    "assistant": "assistant",
    "human": "user",
    "gpt": "assistant",
}
"""Roles as rows write them, to ours. The last two go with the keys `from` and `value`."""


def messages(value: Any, column: str, place: str) -> list[Message]:
    """Returns the messages of a list of ``{role, content}`` or ``{from, value}``.

    Args:
        value: What the row holds.
        column: Where in the row, for messages of errors.
        place: ``file:line`` of the row.

    Raises:
        DataError: When it is no such list, or a role is unknown.
    """
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise DataError(
            f"column {column!r} is {_shown(value)}; expected a list of messages "
            '{"role": ..., "content": ...}',
            location=place,
        )
    return [_message(item, f"{column}[{i}]", place) for i, item in enumerate(value)]


def _message(item: Any, where: str, place: str) -> Message:
    if isinstance(item, Mapping):
        role = item.get("role", item.get("from"))
        content = item.get("content", item.get("value"))
        if isinstance(role, str) and role not in ROLES:
            raise DataError(
                f"{where} has the role {role!r}; expected one of {', '.join(ROLES)}",
                location=place,
            )
        if isinstance(role, str) and isinstance(content, str):
            return {"role": ROLES[role], "content": content}
    raise DataError(
        f'{where} is {_shown(item)}; expected {{"role": text, "content": text}} '
        'or {"from": text, "value": text}',
        location=place,
    )


def prompt_messages(value: Any, column: str, place: str) -> list[Message]:
    """Returns a prompt, given as text (one user message) or as messages; empty when blank.

    Raises:
        DataError: When it is neither, or ends with an assistant turn.
    """
    if isinstance(value, str):
        return [{"role": "user", "content": value}] if value.strip() else []
    turns = messages(value, column, place)
    if turns and turns[-1]["role"] == "assistant":
        raise DataError(
            f"column {column!r} ends with an assistant turn; expected a prompt that ends "
            "before the completion: move that turn to the completion",
            location=place,
        )
    return turns if any(message["content"].strip() for message in turns) else []


def completion_text(value: Any, prompt: Sequence[Message], column: str, place: str) -> str:
    """Returns a completion, given as text, as one message, or as a list of messages.

    A list may hold the assistant's turn alone, or repeat the prompt before it.

    Raises:
        DataError: When it is none of these, or holds other turns.
    """
    if isinstance(value, str):
        return value
    turns = messages([value] if isinstance(value, Mapping) else value, column, place)
    if len(turns) > 1 and turns[:-1] == list(prompt):
        turns = turns[-1:]
    if not turns:
        return ""
    if len(turns) > 1 or turns[0]["role"] != "assistant":
        roles = ", ".join(message["role"] for message in turns)
        raise DataError(
            f"column {column!r} has the turns {roles}; expected one assistant turn, "
            "alone or after the turns of the prompt",
            location=place,
        )
    return turns[0]["content"]


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
