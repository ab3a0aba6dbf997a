"""Reads the message trees of OpenAssistant, nested or flattened, as messages.

References:
    Köpf et al. 2023, OpenAssistant Conversations (the data).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from halo_core.errors import DataError
from halo_data.rows.forms import Record

ROLES: Mapping[str, str] = {"prompter": "user", "assistant": "assistant"}
READY = "ready_for_export"


@dataclass(frozen=True)
class OasstMessage:
    """One message of a tree.

    Attributes:
        id: Its id.
        parent: The id of the message that it answers; None at the root.
        tree: The id of its tree, which is the id of the root.
        text: Its text.
        role: Its role, ``user`` or ``assistant``.
        rank: Its place among its siblings, with 0 as the best; None if people did not rank it.
        language: Its language, for example ``en``; None if it is not given.
        synthetic: Whether a model wrote it.
        deleted: Whether it was deleted.
        ready: Whether its tree was finished; true if the state is not given.
    """

    id: str
    parent: str | None
    tree: str
    text: str
    role: str
    rank: int | None
    language: str | None
    synthetic: bool
    deleted: bool
    ready: bool


def messages_of(records: Iterable[Record]) -> Iterator[OasstMessage]:
    """Yields the messages of tree files or of flattened files, parents before their replies.

    Args:
        records: One tree per row (``prompt`` with ``replies``), or one message per row.

    Raises:
        DataError: When a row is neither, or a rank is not a whole number.
    """
    for record in records:
        given = record.given
        if isinstance(given.get("prompt"), Mapping):
            yield from _nested(record)
        elif "message_id" in given and "parent_id" in given:
            yield _message(given, _or_none(given["parent_id"]), given, record.place)
        else:
            raise DataError(
                f"got the columns {', '.join(given)}; expected a message tree (prompt with "
                "replies) or a flattened message (message_id, parent_id, text, role, rank). Other "
                "data are read by jsonl or hub",
                location=record.place,
            )


def _nested(record: Record) -> Iterator[OasstMessage]:
    waiting: list[tuple[Mapping[str, Any], str | None]] = [(record.given["prompt"], None)]
    while waiting:
        given, parent = waiting.pop()
        message = _message(given, parent, record.given, record.place)
        yield message
        replies = given.get("replies") or []
        # A stack returns its last item first, so replies are added from the end to keep the order.
        waiting += [(reply, message.id) for reply in reversed(replies)]


def _message(
    given: Mapping[str, Any], parent: str | None, tree: Mapping[str, Any], place: str
) -> OasstMessage:
    for name in ("message_id", "text", "role"):
        if not isinstance(given.get(name), str):
            raise DataError(
                f"a message has {name} {given.get(name)!r:.60}; expected text", location=place
            )
    role = given["role"]
    if role not in ROLES:
        raise DataError(
            f"message {given['message_id']} has the role {role!r}; expected prompter or assistant",
            location=place,
        )
    return OasstMessage(
        id=given["message_id"],
        parent=parent,
        tree=str(tree.get("message_tree_id") or given["message_id"]),
        text=given["text"],
        role=ROLES[role],
        rank=_rank(_or_none(given.get("rank")), given["message_id"], place),
        language=_or_none(given.get("lang")),
        synthetic=bool(given.get("synthetic")),
        deleted=bool(given.get("deleted")),
        ready=tree.get("tree_state") in (None, READY),
    )


def _or_none(value: Any) -> Any:
    """Returns a value, or None for NaN, which pandas writes for null."""
    return None if isinstance(value, float) and math.isnan(value) else value


def _rank(value: Any, message_id: str, place: str) -> int | None:
    """Returns a rank. If some ranks are null, pandas writes 0 as 0.0."""
    if value is None:
        return None
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if number and math.isfinite(value) and value == int(value) >= 0:
        return int(value)
    raise DataError(
        f"message {message_id} has the rank {value!r}; expected 0 (best), 1, 2, ... or null "
        "(not ranked)",
        location=place,
    )
