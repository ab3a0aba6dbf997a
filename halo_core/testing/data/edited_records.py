"""Changes the values of named columns in copies of a source's files: text files and databases."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from halo_core.data import DataSource
from halo_core.testing.data.copied_files import source_of_copies
from halo_core.testing.data.edited_lines import EditedFile, edited_files
from halo_core.testing.data.line_cells import cells_of, listed, with_cell
from halo_core.testing.data.named_columns import named_cells
from halo_core.testing.data.named_files import LARGEST, named_paths

MAGIC = b"SQLite format 3\0"
"""The first bytes of a database of SQLite."""

RECORDS = 5_000
"""Number of records of a table up to which they are changed."""

TABLES = 4
"""Number of tables whose records are changed."""

Change = Callable[[str, int, Any], Any]
"""Returns another value of a column, from its name, the number of the record, and the value."""


@dataclass(frozen=True)
class Rows:
    """The rows of a source whose records are changed.

    Attributes:
        rows: The rows of all splits.
        dropped: Number of dropped rows of all splits.
        error: The error that it raised.
    """

    rows: Sequence[Mapping[str, Any]] = ()
    dropped: int = 0
    error: Exception | None = None


@dataclass(frozen=True)
class Records:
    """The records of a file or table.

    Attributes:
        where: Words for it, for a message.
        columns: The values of each column, in the order of the records.
        read: Returns what the source gives with changed values.
        is_table: Whether it is a table of a database.
    """

    where: str
    columns: Mapping[str, Sequence[Any]]
    read: Callable[[Change], Rows]
    is_table: bool


def unchanged(column: str, number: int, value: Any) -> Any:
    """Returns a value as it is."""
    return value


@contextmanager
def edited_records(source: DataSource) -> Iterator[Iterator[Records]]:
    """Yields the records of the files that a source's options name.

    Args:
        source: A source whose data are available.
    """
    paths = [path for each in named_paths(source).values() for path in each]
    files = [path for path in paths if path.is_file()]
    if any(path.stat().st_size > LARGEST for path in files):
        yield iter(())
    elif any(_is_database(path) for path in files):
        with TemporaryDirectory() as name:
            yield _tables(source, Path(name))
    else:
        with edited_files(source) as found:
            yield (_lines(source, file) for file, _ in found)


def rows_of(source: DataSource) -> Rows:
    """Returns all rows of a source, or its error."""
    rows: list[Mapping[str, Any]] = []
    dropped = 0
    try:
        for split in source.inspect().splits:
            loaded = source.load(split)
            rows += [dict(row) for row in loaded.rows]
            dropped += sum(loaded.dropped.values())
    except Exception as error:
        return Rows(error=error)
    return Rows(rows, dropped)


def _is_database(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(MAGIC)) == MAGIC


def _tables(source: DataSource, folder: Path) -> Iterator[Records]:
    try:
        copy, files = source_of_copies(source, named_paths(source), folder)
    except (OSError, ValueError):
        return
    for file in filter(_is_database, files):
        whole = file.read_bytes()
        with closing(sqlite3.connect(file)) as db:
            sql = "select name from sqlite_master where type = 'table' and name not like 'sqlite_%'"
            names = [name for (name,) in db.execute(sql)][:TABLES]
        for name in names:
            with suppress(sqlite3.Error):  # It needs an extension, or has no number of its rows.
                yield _table(copy, file, name, whole)


def _table(source: DataSource, file: Path, name: str, whole: bytes) -> Records:
    quoted = '"' + name.replace('"', '""') + '"'
    with closing(sqlite3.connect(file)) as db:
        described = db.execute(f"pragma table_info({quoted})").fetchall()
        keys = {column for _, column, *_, key in described if key}
        keys |= {each[3] for each in db.execute(f"pragma foreign_key_list({quoted})")}
        found = db.execute(f"select rowid, * from {quoted} limit {RECORDS}").fetchall()
    names = [column for _, column, *_ in described]
    columns = {
        column: [each[place] for each in found]
        for place, column in enumerate(names, start=1)
        if column not in keys
    }

    def read(change: Change) -> Rows:
        file.write_bytes(whole)
        try:
            with closing(sqlite3.connect(file)) as db:
                for column, values in columns.items():
                    own = '"' + column.replace('"', '""') + '"'
                    new = [
                        (other, each[0])
                        for number, (each, value) in enumerate(zip(found, values, strict=True))
                        if (other := change(column, number, value)) is not value
                    ]
                    db.executemany(f"update {quoted} set {own} = ? where rowid = ?", new)
                db.commit()
            return rows_of(source)
        except sqlite3.IntegrityError as error:
            return Rows(error=NotPossibleError(str(error)))
        finally:
            file.write_bytes(whole)

    return Records(f"the table {name!r} of {file.name!r}", columns, read, True)


class NotPossibleError(Exception):
    """The database does not take such values."""


def _lines(source: DataSource, file: EditedFile) -> Records:
    columns: dict[str, list[Any]] = {}
    for text in file.lines:
        for name, value in named_cells(source, file, text).items():
            if not _is_header(file, text):
                for inner, each in _inside(name, value):
                    columns.setdefault(inner, []).append(each)

    def read(change: Change) -> Rows:
        lines = [_changed(source, file, n, text, change) for n, text in enumerate(file.lines)]
        if file.read(lines) is None:
            return Rows(error=file.error)
        rows = rows_of(file.source)
        file.read(file.lines)
        return rows

    return Records(repr(file.name), columns, read, False)


def _is_header(file: EditedFile, text: str) -> bool:
    return text is file.lines[0] and not isinstance(cells_of(file, text), Mapping)


def _inside(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Yields the values in a value of JSON, with the nearest key of each."""
    if isinstance(value, Mapping):
        for key, each in value.items():
            yield from _inside(str(key), each)
    elif isinstance(value, list):
        for each in value:
            yield from _inside(name, each)
    else:
        yield name, value


def _changed(source: DataSource, file: EditedFile, number: int, text: str, change: Change) -> str:
    cells = cells_of(file, text)
    if isinstance(cells, Mapping):
        return json.dumps(_with(cells, "", number, change), ensure_ascii=False) + "\n"
    if _is_header(file, text):
        return text
    for place, name in enumerate(named_cells(source, file, text)):
        cell = listed(file, text)[place]
        other = change(name, number, as_number(cell))
        if other is not None and other != as_number(cell):
            text = with_cell(text, file, place, str(other))
    return text


def _with(value: Any, name: str, number: int, change: Change) -> Any:
    if isinstance(value, Mapping):
        return {key: _with(each, str(key), number, change) for key, each in value.items()}
    if isinstance(value, list):
        return [_with(each, name, number, change) for each in value]
    return change(name, number, value)


def as_number(value: Any) -> Any:
    """Returns the number that a text is, and any other value as it is."""
    if isinstance(value, str):
        for kind in (int, float):
            with suppress(ValueError):
                return kind(value)
    return value


__all__ = [
    "Change",
    "NotPossibleError",
    "Records",
    "Rows",
    "as_number",
    "edited_records",
    "rows_of",
    "unchanged",
]
