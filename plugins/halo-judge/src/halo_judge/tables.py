"""The table of judges that `halo judge --validate` prints."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from halo_core.cli.terminal import grid


def rows_table(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> Any:
    """Returns a table of rows whose first cell is a name and whose others are numbers.

    A column in which no row has anything but ``-`` is left out.
    """
    kept = [
        place for place in range(len(header)) if not place or {row[place] for row in rows} != {"-"}
    ]
    shown = [[row[place] for place in kept] for row in rows]
    return grid(title, [header[place] for place in kept], shown)
