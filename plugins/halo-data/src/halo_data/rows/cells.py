"""Reads the cells of a table of texts (csv, tsv): empty cells, and lists written as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from halo_core.errors import DataError
from halo_data.rows.forms import LISTS, SYNONYMS, TEXTS


def from_cells(
    cells: Mapping[str, str | None], columns: Mapping[str, str], place: str
) -> dict[str, Any]:
    """Returns a row of a table of texts, with the values that the forms of rows expect.

    * An empty cell is an empty text in a column of texts, and null in any other column.
    * A cell with a list or an object in JSON is that value, in a column that may hold one. A table
      has no other way to write messages.

    Args:
        cells: The cells by column. An empty cell is None.
        columns: The name in the table by standard name.
        place: ``file:line`` of the row.

    Raises:
        DataError: When a cell has a list that is not JSON.
    """
    ours_of = {theirs: ours for ours, theirs in columns.items()}
    row: dict[str, Any] = {}
    for name, cell in cells.items():
        ours = ours_of.get(name, SYNONYMS.get(name, name))
        if cell is None:
            row[name] = "" if ours in TEXTS else None
        elif ours in LISTS or (ours in TEXTS and _looks_like_messages(cell)):
            row[name] = _parsed(cell, name, place)
        else:
            row[name] = cell
    return row


def _looks_like_messages(cell: str) -> bool:
    """Returns whether a text begins like a message, or like a list of them, in JSON or Python."""
    start = "".join(cell[:40].split()).removeprefix("[").replace("'", '"')
    keys = ('{"role":', '{"content":', '{"from":', '{"value":', '{"messages":')
    return start.startswith(keys)


def _parsed(cell: str, name: str, place: str) -> Any:
    try:
        return json.loads(cell)
    except (ValueError, RecursionError) as error:
        raise DataError(
            f"column {name!r} is {cell!r:.60}, which is not JSON ({error}); expected a list in "
            'JSON, as json.dumps writes it, for example [{"role": "user", "content": "Hi"}]. '
            "Python's own way to write a list, with single quotes, is not read",
            location=place,
        ) from None
