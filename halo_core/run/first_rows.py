"""Some rows of a set: enough to see whether a chat template can write them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from halo_core.rows import DataSet, RowWriter
from halo_core.run.materialise import Rows

LOOKED_AT = 10_000
"""Rows of a set among which those of another kind are looked for."""
FIRST = 16
"""Rows of a set that are taken in any case."""


class FirstRows:
    """Some rows of each set, in files of their own.

    Args:
        folder: Where the files go.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._made: dict[tuple[Path, ...], DataSet] = {}

    def of(self, name: str, rows: Sequence[Rows]) -> DataSet:
        """Returns some rows of a set: the first, and the first of each further kind."""
        files = tuple(source.file for source in rows)
        if files not in self._made:
            whole = DataSet(name, rows[0].feedback, files)
            path = self._folder / f"rows-{len(self._made)}.arrow"
            with RowWriter(path, whole.feedback) as writer:
                writer.write(list(_first_of_each_kind(whole)))
            self._made[files] = DataSet(name, whole.feedback, [path])
        return self._made[files]


def _first_of_each_kind(data: DataSet) -> Iterator[dict[str, Any]]:
    """Yields rows by what a chat template sees of them: roles, and which fields there are."""
    seen: set[tuple[Any, ...]] = set()
    for number, row in enumerate(islice(data, LOOKED_AT)):
        messages = row.get("prompt", ())
        kind = (*((m["role"], *sorted(m)) for m in messages), *row)
        if number < FIRST or kind not in seen:
            seen.add(kind)
            yield row
