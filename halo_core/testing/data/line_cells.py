"""Reads and changes the cells of a line of CSV or TSV, or the keys of a line of JSON."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from typing import Any

from halo_core.testing.data.edited_lines import EditedFile


def cells_of(file: EditedFile, text: str) -> Mapping[object, object] | Sequence[str]:
    """Returns the keys and values of a line of JSON, or the cells of another line."""
    if text.lstrip().startswith("{"):
        try:
            found = json.loads(text)
        except ValueError:
            return [text]
        return found if isinstance(found, dict) else [text]
    try:
        return next(csv.reader([text.rstrip("\r\n")], delimiter=delimiter_of(file)), [])
    except csv.Error:  # A cell is longer than the reader takes.
        return [text]


def delimiter_of(file: EditedFile) -> str:
    """Returns the character that all lines have equally often, or a comma or a tabulator."""
    for each in "\t;|":
        if len({line.count(each) for line in file.lines if line.strip()} - {0}) == 1:
            return each
    return "," if file.name.lower().endswith(".csv") else "\t"


def with_key(text: str, key: object, value: Any) -> str:
    """Returns a line of JSON with another value of a key; without the key if it is None."""
    cells = loaded(text)
    changed = {k: v for k, v in cells.items() if k != key}
    if value is not None:
        changed = {k: value if k == key else v for k, v in cells.items()}
    return json.dumps(changed, ensure_ascii=False) + "\n"


def loaded(text: str) -> Mapping[object, object]:
    """Returns the keys and values of a line of JSON."""
    found = json.loads(text)
    return found if isinstance(found, dict) else {}


def with_cell(text: str, file: EditedFile, place: int, value: str | None) -> str:
    """Returns a line with another cell at a place; without the cell if it is None."""
    cells = listed(file, text)
    cells[place : place + 1] = [] if value is None else [value]
    delimiter = delimiter_of(file)
    quoted = [f'"{c.replace(chr(34), chr(34) * 2)}"' if delimiter in c else c for c in cells]
    return delimiter.join(quoted) + "\n"


def listed(file: EditedFile, text: str) -> list[str]:
    """Returns the cells of a line."""
    return list(map(str, cells_of(file, text)))


__all__ = ["cells_of", "delimiter_of", "listed", "loaded", "with_cell", "with_key"]
