"""Some rows of a set, enough to check whether a chat template can render them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from halo_core.rows import DataSet, RowWriter
from halo_core.run.materialise import Rows

LOOKED_AT = 10_000
"""Number of rows in a set that are searched for rows of further kinds."""
FIRST = 16
"""Number of rows at the start of a set that are always used."""


class FirstRows:
    """Some rows of each set, in separate files.

    Args:
        folder: The folder for the files.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._made: dict[tuple[Path, ...], DataSet] = {}

    def of(self, name: str, rows: Sequence[Rows]) -> DataSet:
        """Returns some rows of a set: the first ones, and the first of each further kind."""
        files = tuple(source.file for source in rows)
        if files not in self._made:
            whole = DataSet(name, rows[0].feedback, files)
            path = self._folder / f"rows-{len(self._made)}.arrow"
            with RowWriter(path, whole.feedback) as writer:
                writer.write(list(_first_of_each_kind(whole)))
            self._made[files] = DataSet(name, whole.feedback, [path])
        return self._made[files]


def _first_of_each_kind(data: DataSet) -> Iterator[dict[str, Any]]:
    """Yields the first row of each kind. A kind is the roles and fields that a template sees."""
    seen: set[tuple[Any, ...]] = set()
    for number, row in enumerate(islice(data, LOOKED_AT)):
        messages = row.get("prompt", ())
        kind = (*((m["role"], *sorted(m)) for m in messages), *row)
        if number < FIRST or kind not in seen:
            seen.add(kind)
            yield row
