"""Checks of SQLite files: SQLite's own check of the structure, and check values of rows.

SQLite's check finds pages that do not fit together. It does not find another letter in a text, so
a table whose last column is named `crc` has a check value in each row.
"""

from __future__ import annotations

import json
import os
import sqlite3
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from halo_core.workspace.database_files import INDEX, LOG, beside, copy_files, has_changes_beside
from halo_core.workspace.database_log import CUT, log_fault

CHECK_COLUMN = "crc"
"""Name of the last column of a table whose rows have check values."""
ENDINGS = (".sqlite", ".sqlite-wal", ".sqlite-shm", ".db", ".db-wal", ".db-shm")
"""Endings of the names of SQLite files. Such files change when they are opened, so their hash says
nothing."""

_UNWRITABLE = {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN}
_ANY = "SELECT COUNT(*) FROM sqlite_master"
FAULTS = (sqlite3.DatabaseError, UnicodeDecodeError)
"""Errors while a file is read. SQLite's names of tables and columns may not be text either."""
_DAMAGE = {
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_NOTADB,
    sqlite3.SQLITE_FORMAT,
    sqlite3.SQLITE_ERROR,  # a table or a column that should be there is not, or has another name
}


def row_check(values: Sequence[str | float | None]) -> str:
    """Returns the check value of a row.

    Args:
        values: All values but the check value, in the order of the columns, as SQLite returns them:
            a column of the type REAL returns a float.
    """
    return f"{zlib.crc32(json.dumps(list(values), default=repr).encode()):08x}"


def damage_of(path: Path) -> str | None:
    """Returns what is wrong with an existing SQLite file, or None. Reads all of it.

    Rows with check values are only added. So a log with which there are fewer of them is that of
    another database.

    Raises:
        sqlite3.OperationalError: When it cannot be read for another reason, for example because
            another process holds it.
    """
    if path.stat().st_size == 0:
        return "is empty"
    alone = _rows_alone(path)  # Before the others, because other processes add rows.
    with readable(path) as file, closing(read_only(file)) as db:
        try:
            found = [text for (text,) in db.execute("PRAGMA quick_check(1)")]
            if found != ["ok"]:
                return f"is damaged ({'; '.join(' '.join(text.split()) for text in found)})"
            if hidden := _hidden(path, alone, _counts(db)):
                return hidden
            wrong = sum(_wrong_rows(db, table) for table in _checked_tables(db))
        except FAULTS as error:
            if not is_damage(error):
                raise
            return f"is damaged ({error})"
    return f"is damaged (rows that are not as they were written: {wrong})" if wrong else None


def _rows_alone(path: Path) -> dict[str, int]:
    """Returns the number of rows of each table with check values, without the log.

    Nothing is returned if there is no log, or if the file cannot be read without it.
    """
    if not beside(path, LOG).exists():
        return {}
    try:
        with closing(read_only(path, alone=True)) as db:
            return _counts(db)
    except FAULTS as error:
        if not is_damage(error):
            raise
        return {}


def _hidden(path: Path, alone: Mapping[str, int], found: Mapping[str, int]) -> str | None:
    for table, rows in alone.items():
        if found.get(table, 0) < rows:
            log = f"the log {path.name}{LOG}, which is that of another file"
            return f"holds {found.get(table, 0)} {table} with {log}, and {rows} without it"
    return None


def _counts(db: sqlite3.Connection) -> dict[str, int]:
    tables = _checked_tables(db)
    return {
        table: int(db.execute(f'SELECT COUNT(*) FROM "{table}"').fetchone()[0]) for table in tables
    }


@contextmanager
def readable(path: Path) -> Iterator[Path]:
    """Yields a database that can be read without a change of its files: itself, or a copy of it.

    If a killed process left a journal, or a log without its index, SQLite must write to read the
    database. If a log was cut, SQLite would make its index again, which is the sign of that. Then
    SQLite writes into a copy, which is removed at the end.

    Args:
        path: The database. It may be damaged.

    Raises:
        OSError: When it cannot be copied.
    """
    if not _must_be_written(path):
        yield path
        return
    with TemporaryDirectory() as folder:
        copy = Path(folder) / path.name
        copy_files(path, copy)
        with closing(sqlite3.connect(copy)) as db, suppress(sqlite3.DatabaseError):
            db.execute(_ANY)
        yield copy


def _must_be_written(path: Path) -> bool:
    if not has_changes_beside(path):
        return False
    if (log_fault(path) or "").startswith(CUT):
        return True
    try:
        with closing(read_only(path)) as db:
            db.execute(_ANY)
    except sqlite3.OperationalError as error:
        return (error.sqlite_errorcode & 0xFF) in _UNWRITABLE
    except sqlite3.DatabaseError:
        pass  # It is damaged.
    return False


def is_damage(error: BaseException) -> bool:
    """Returns whether an error says that the content of a file is wrong."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT)
    return isinstance(error, FAULTS) and (code & 0xFF) in _DAMAGE


def read_only(path: Path, *, alone: bool = False) -> sqlite3.Connection:
    """Returns a connection that writes nothing. Bytes that are not UTF-8 are read as escapes.

    SQLite makes a log and its index also for readers. A file without them, in a folder where it may
    not make them, is read alone, unless changes of it are in a journal or log. Then SQLite raises
    an error; see `readable`.

    Args:
        path: The file.
        alone: Whether to read it without the files that SQLite keeps next to it.
    """
    has_both = beside(path, LOG).exists() and beside(path, INDEX).exists()
    may_make = os.access(path.resolve().parent, os.W_OK)
    alone = alone or not (has_both or may_make or has_changes_beside(path))
    mode = "mode=ro&immutable=1" if alone else "mode=ro"
    db = sqlite3.connect(f"{path.resolve().as_uri()}?{mode}", uri=True)
    db.text_factory = lambda text: text.decode("utf-8", "backslashreplace")
    return db


def _checked_tables(db: sqlite3.Connection) -> list[str]:
    tables = [name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    return [table for table in tables if _columns(db, table)[-1:] == [CHECK_COLUMN]]


def _columns(db: sqlite3.Connection, table: str) -> list[str]:
    return [name for (name,) in db.execute("SELECT name FROM pragma_table_info(?)", (table,))]


def _wrong_rows(db: sqlite3.Connection, table: str) -> int:
    """Returns the number of rows whose check value is another. Rows of an older halo have none."""
    rows = db.execute(f'SELECT * FROM "{table}"')
    return sum(check is not None and check != row_check(values) for *values, check in rows)


__all__ = [
    "CHECK_COLUMN",
    "ENDINGS",
    "FAULTS",
    "damage_of",
    "is_damage",
    "read_only",
    "row_check",
]
