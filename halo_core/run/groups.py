"""Groups of rows that stay together on one side of a hold-out."""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from typing import Any

from halo_core.errors import DataError
from halo_core.feedback import Prompt, prompt_id
from halo_core.hashing import short_hash

ADVICE = (
    "Rows with the same `group` stay together; without a group, rows with the same messages up to "
    "the first user message. Name other groups in a column group (jsonl and hub map a column with "
    "columns: {group: NAME} and leave one out with ignore_columns: [group])"
)


def opening(prompt: Prompt) -> Prompt:
    """Returns a prompt up to and including its first user message.

    A dialogue of several turns gives one row for each turn. All these rows have the same opening,
    so that no test row is continued by a training row. A prompt of one turn is its own opening.
    """
    first = next((i for i, m in enumerate(prompt) if m["role"] == "user"), len(prompt))
    return [{"role": m["role"], "content": m["content"]} for m in prompt[: first + 1]]


def opening_id(prompt: Prompt) -> str:
    """Returns the id of a prompt's opening. For a prompt of one turn, this is its `prompt_id`."""
    return prompt_id(opening(prompt))


def group_id(row: Mapping[str, Any], prompt: Prompt, own_id: str | None = None) -> str:
    """Returns the id of a row's group: from its own `group`, or else from its prompt's opening.

    Args:
        row: The row from a source.
        prompt: Its messages. Raw text counts as one message.
        own_id: The `prompt_id` of the messages without tools, if it is known.
    """
    group = row.get("group")
    if group is not None:
        return short_hash(str(group))
    if own_id is not None and len(prompt) == 1 and len(prompt[0]) == 2:
        return own_id  # A prompt of one plain message is its own opening.
    return opening_id(prompt)


class Groups:
    """Counts the rows of each group while rows are read, in 8 bytes per row.

    The largest group matters only if it has more than half of the rows. One pass with one name
    finds it: the name changes whenever as many rows of other groups have come as of its own.

    References:
        Boyer and Moore (1991), MJRTY: A Fast Majority Vote Algorithm.
    """

    def __init__(self) -> None:
        self._ids = array("Q")
        self._leading: tuple[int, Mapping[str, Any], Prompt] | None = None
        self._lead = 0

    def add(self, id_: str, row: Mapping[str, Any], prompt: Prompt) -> None:
        """Counts a row.

        Args:
            id_: Its `group_id`.
            row: The row from a source.
            prompt: Its messages.
        """
        number = int(id_, 16)
        self._ids.append(number)
        if self._leading is None or self._lead == 0:
            self._leading, self._lead = (number, row, prompt), 1
        else:
            self._lead += 1 if number == self._leading[0] else -1

    def check(self, held: int, fraction: float, place: str) -> None:
        """Refuses groups that a hold-out cannot split.

        Args:
            held: Number of rows that are held out.
            fraction: The share that should be held out.
            place: The source, for the message.

        Raises:
            DataError: When a group has more than half of the rows, or when no row or every row is
                held out.
        """
        rows = len(self._ids)
        if self._leading is None:
            return
        largest, row, prompt = self._leading
        size = self._ids.count(largest)
        if 2 * size > rows:
            raise DataError(
                f"the group {_name_of(row, prompt)!r} has {size} of {rows} rows, more than half; "
                f"expected smaller groups, since a hold-out takes whole groups. {ADVICE}",
                location=place,
            )
        if held in (0, rows):
            groups = len(set(self._ids))
            raise DataError(
                f"a hold-out of {fraction} takes {'none' if held == 0 else 'all'} of {rows} rows "
                f"({groups} groups, by their hashes); expected rows on both sides. Use "
                f"another share or more data. {ADVICE}",
                location=place,
            )


def _name_of(row: Mapping[str, Any], prompt: Prompt) -> str:
    own = row.get("group")
    name = opening(prompt)[-1]["content"] if own is None else str(own)
    return name if len(name) <= 60 else f"{name[:57]}..."
