"""Groups of rows that stay together on one side of a hold-out."""

from __future__ import annotations

from collections import Counter
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


def group_id(row: Mapping[str, Any], prompt: Prompt) -> str:
    """Returns the id of a row's group: from its own `group`, or else from its prompt's opening.

    Args:
        row: The row from a source.
        prompt: Its messages. Raw text counts as one message.
    """
    group = row.get("group")
    return opening_id(prompt) if group is None else short_hash(str(group))


class Groups:
    """Counts the rows of each group while rows are read."""

    def __init__(self) -> None:
        self._sizes: Counter[str] = Counter()
        self._names: dict[str, str] = {}

    def add(self, id_: str, row: Mapping[str, Any], prompt: Prompt) -> None:
        """Counts a row.

        Args:
            id_: Its `group_id`.
            row: The row from a source.
            prompt: Its messages.
        """
        self._sizes[id_] += 1
        if id_ not in self._names:
            own = row.get("group")
            name = opening(prompt)[-1]["content"] if own is None else str(own)
            self._names[id_] = name if len(name) <= 60 else f"{name[:57]}..."

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
        rows = self._sizes.total()
        if not rows:
            return
        largest, size = self._sizes.most_common(1)[0]
        if 2 * size > rows:
            raise DataError(
                f"the group {self._names[largest]!r} has {size} of {rows} rows, more than half; "
                f"expected smaller groups, since a hold-out takes whole groups. {ADVICE}",
                location=place,
            )
        if held in (0, rows):
            raise DataError(
                f"a hold-out of {fraction} takes {'none' if held == 0 else 'all'} of {rows} rows "
                f"({len(self._sizes)} groups, by their hashes); expected rows on both sides. Use "
                f"another share or more data. {ADVICE}",
                location=place,
            )
