"""Converts texts and chat messages of both conventions to halo's messages.

No part of a message is left out silently: an unknown field, role or part of the content is an error
that names it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from halo_core.completion import Completion
from halo_core.errors import DataError
from halo_core.feedback import Message, further_fields
from halo_data.rows.dropped import WITHOUT_WEIGHT, Dropped
from halo_data.rows.tools import shown, tool_calls

ROLES: Mapping[str, str] = {
    "system": "system",
    "developer": "developer",
    "user": "user",
    "assistant": "assistant",
    "tool": "tool",
    "human": "user",
    "gpt": "assistant",
}
"""halo's roles by the roles in rows. The last two belong to the keys `from` and `value`."""

_OLDER_ROLES = ("function", "function_call", "observation", "ipython")
_TEXTS = ("name", "tool_call_id", "reasoning_content", "thinking")
_FIELDS = (*_TEXTS, "tool_calls", "weight")


@dataclass(frozen=True)
class Turn:
    """A message, with a mark that says whether it is learned.

    Attributes:
        message: The message without its weight.
        learned: Whether it is learned; false if its weight is 0.
    """

    message: Message
    learned: bool = True


def turns(value: Any, column: str, place: str, *, or_text: bool = False) -> list[Turn]:
    """Returns the turns of a list of ``{role, content, ...}`` or ``{from, value, ...}``.

    Args:
        value: The value in the row.
        column: Its column, for error messages.
        place: ``file:line`` of the row.
        or_text: Whether the column may also be text, for error messages.

    Raises:
        DataError: When it is not such a list, or a role, field or part of a content is unknown.
    """
    # Checking for list first is much faster than checking for Sequence, an abstract class.
    if not isinstance(value, list) and (not isinstance(value, Sequence) or isinstance(value, str)):
        raise DataError(
            f"column {column!r} is {shown(value)}; expected {'text or ' if or_text else ''}a list "
            'of messages {"role": ..., "content": ...}',
            location=place,
        )
    return [_turn(item, f"{column}[{i}]", place) for i, item in enumerate(value)]


def messages(value: Any, column: str, place: str) -> list[Message]:
    """Returns the messages of `turns`."""
    return [turn.message for turn in turns(value, column, place)]


def _turn(item: Any, where: str, place: str) -> Turn:
    if not isinstance(item, dict) and not isinstance(item, Mapping):
        raise _no_message(item, where, place)
    ours = ("role", "content") if item.get("from") is None else ("from", "value")
    role, content = (item.get(name) for name in ours)
    if isinstance(role, str) and role not in ROLES:
        raise DataError(_unknown_role(role, where), location=place)
    # A table has each field in every message, so absent fields are null or an empty list.
    rest = {k: v for k, v in item.items() if k not in ours and v is not None and v != []}
    fields = fields_of(rest, where, place) if rest else {}
    weight = fields.pop("weight", 1)
    text = _text(content, where, place)
    if text is None and fields.keys() & {"tool_calls", "reasoning_content", "thinking"}:
        text = ""
    if not isinstance(role, str) or text is None:
        raise _no_message(item, where, place)
    message = {"role": ROLES[role], "content": text, **fields}
    return Turn(cast(Message, message), weight != 0)


def _unknown_role(role: str, where: str) -> str:
    said = f"{where} has the role {role!r}; expected one of {', '.join(ROLES)}"
    if role not in _OLDER_ROLES:
        return said
    return (
        f"{said}. {role!r} is of an older form: write a call as tool_calls of an assistant turn, "
        "and the tool's result as a turn of the role tool"
    )


def _no_message(item: Any, where: str, place: str) -> DataError:
    return DataError(
        f'{where} is {shown(item)}; expected {{"role": text, "content": text}} '
        'or {"from": text, "value": text}',
        location=place,
    )


def _text(content: Any, where: str, place: str) -> str | None:
    """Returns a content as text, with its parts joined unchanged; None if it is not a content."""
    if not isinstance(content, list):
        return content if isinstance(content, str) else None
    texts = []
    for part in content:
        type_ = part.get("type") if isinstance(part, Mapping) else None
        if type_ != "text" or not isinstance(part.get("text"), str):
            raise DataError(
                f"{where} has a part of the type {type_!r}; expected parts "
                '{"type": "text", "text": ...} alone: leave such rows out',
                location=place,
            )
        # Arrow adds the fields of other parts, as null, to a part of text.
        further = [k for k, v in part.items() if k not in ("type", "text") and v is not None]
        if further:
            raise _unknown_field(further[0], f"a part of {where}", "type, text", place)
        texts.append(part["text"])
    return "".join(texts)


def fields_of(given: Mapping[str, Any], where: str, place: str) -> dict[str, Any]:
    """Returns the further fields of a message, sorted by name, with parsed arguments of calls.

    Raises:
        DataError: When a field is unknown or has an invalid value.
    """
    fields: dict[str, Any] = {}
    for name, value in sorted(given.items()):
        if value is None:
            continue
        if name not in _FIELDS:
            raise _unknown_field(name, where, f"role, content, {', '.join(_FIELDS)}", place)
        if name == "tool_calls":
            value = tool_calls(value, where, place)
        elif name == "weight" and value not in (0, 1):
            raise DataError(f"{where}: weight is {shown(value)}; expected 0 or 1", location=place)
        elif name in _TEXTS and not isinstance(value, str):
            raise DataError(f"{where}: {name} is {shown(value)}; expected text", location=place)
        if value not in ("", []):
            fields[name] = value
    return fields


def _unknown_field(name: str, where: str, known: str, place: str) -> DataError:
    return DataError(
        f"{where} has the field {name!r}, which nothing would read; known are {known}. Where it "
        f"may be left out: ignore_fields: [{name}]",
        location=place,
    )


def prompt_messages(value: Any, column: str, place: str) -> list[Message]:
    """Returns the messages of a prompt from text (one user message) or messages; empty if blank.

    Raises:
        DataError: When it is neither text nor messages, or ends with an assistant turn.
    """
    return [turn.message for turn in prompt_turns(value, column, place)]


def prompt_turns(value: Any, column: str, place: str) -> list[Turn]:
    """Returns the turns of `prompt_messages`."""
    if isinstance(value, str):
        return [Turn({"role": "user", "content": value})] if value.strip() else []
    given = turns(value, column, place, or_text=True)
    check_prompt([turn.message for turn in given], column, place)
    spoken = (turn.message for turn in given)
    return given if any(m["content"].strip() or further_fields(m) for m in spoken) else []


def check_prompt(prompt: Sequence[Message], column: str, place: str) -> None:
    """Raises DataError if a prompt ends with an assistant turn."""
    if prompt and prompt[-1]["role"] == "assistant":
        raise DataError(
            f"column {column!r} ends with an assistant turn; expected a prompt that ends "
            "before the completion: move that turn to the completion",
            location=place,
        )


def completion_of(
    value: Any, prompt: Sequence[Message], column: str, place: str
) -> Completion | Dropped:
    """Returns a completion from text, from one message, or from a list of messages.

    A list may contain only the assistant's turn, or also the prompt before it. A completion with
    weight 0 is dropped.

    Raises:
        DataError: When it is none of these, or contains other turns.
    """
    if isinstance(value, str):
        return Completion(value)
    told = [value] if isinstance(value, Mapping) else value
    given = turns(told, column, place, or_text=True)
    if len(given) > 1 and [turn.message for turn in given[:-1]] == list(prompt):
        given = given[-1:]
    if not given:
        return Completion("")
    if len(given) > 1 or given[0].message["role"] != "assistant":
        roles = ", ".join(turn.message["role"] for turn in given)
        raise DataError(
            f"column {column!r} has the turns {roles}; expected one assistant turn, "
            "alone or after the turns of the prompt",
            location=place,
        )
    return spoken(given[0].message) if given[0].learned else WITHOUT_WEIGHT


def spoken(message: Message) -> Completion:
    """Returns an assistant's message as a completion."""
    return Completion(message["content"], further_fields(message) or None)


MESSAGE_COLUMNS = ("messages", "prompt", "completion", "chosen", "rejected", "completions")
"""Columns that may contain messages."""


def without_fields(row: Mapping[str, Any], names: Sequence[str]) -> Mapping[str, Any]:
    """Returns a row without some fields of its messages.

    Args:
        row: A row with standard column names.
        names: The fields to leave out.
    """

    def cut(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {k: v for k, v in value.items() if k not in names}
        return [cut(item) for item in value] if isinstance(value, list) else value

    return {**row, **{name: cut(row[name]) for name in MESSAGE_COLUMNS if name in row}}
