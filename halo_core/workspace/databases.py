"""Checks of SQLite files: SQLite's own check of the structure, and check values of rows.

SQLite's check finds pages that do not fit together. It does not find another letter in a text, so
a table whose last column is named `crc` has a check value in each row.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import zlib
from collections.abc import Sequence
from contextlib import closing, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from halo_core.workspace.database_files import INDEX, JOURNAL, LOG, beside

CHECK_COLUMN = "crc"
"""Name of the last column of a table whose rows have check values."""
ENDINGS = (".sqlite", ".sqlite-wal", ".sqlite-shm", ".db", ".db-wal", ".db-shm")
"""Endings of the names of SQLite files. Such files change when they are opened, so their hash says
nothing."""

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


def damage_of(path: Path, *, alone: bool = False) -> str | None:
    """Returns what is wrong with an existing SQLite file, or None. Reads all of it.

    Args:
        path: The file.
        alone: Whether to read it without the files that SQLite keeps next to it.

    Raises:
        sqlite3.OperationalError: When it cannot be read for another reason, for example because
            another process holds it.
    """
    if path.stat().st_size == 0:
        return "is empty"
    try:
        return _damage(path, alone=alone)
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_READONLY_ROLLBACK:
            raise
    # A killed process left a journal. SQLite rolls its changes back when it may write.
    with TemporaryDirectory() as folder:
        copy = Path(folder) / path.name
        for ending in ("", JOURNAL):
            shutil.copy2(beside(path, ending), beside(copy, ending))
        with closing(sqlite3.connect(copy)) as db, suppress(sqlite3.DatabaseError):
            db.execute("SELECT COUNT(*) FROM sqlite_master")
        return _damage(copy, alone=True)


def _damage(path: Path, *, alone: bool) -> str | None:
    with closing(read_only(path, alone=alone)) as db:
        try:
            found = [text for (text,) in db.execute("PRAGMA quick_check(1)")]
            if found != ["ok"]:
                return f"is damaged ({'; '.join(' '.join(text.split()) for text in found)})"
            wrong = sum(_wrong_rows(db, table) for table in _checked_tables(db))
        except FAULTS as error:
            if not is_damage(error):
                raise
            return f"is damaged ({error})"
    return f"is damaged (rows that are not as they were written: {wrong})" if wrong else None


def is_damage(error: BaseException) -> bool:
    """Returns whether an error says that the content of a file is wrong."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT)
    return isinstance(error, FAULTS) and (code & 0xFF) in _DAMAGE


def read_only(path: Path, *, alone: bool = False) -> sqlite3.Connection:
    """Returns a connection that writes nothing. Bytes that are not UTF-8 are read as escapes.

    SQLite makes a log and its index also for readers. A file without them, in a folder where it may
    not make them, is read alone.

    Args:
        path: The file.
        alone: Whether to read it without the files that SQLite keeps next to it.
    """
    has_both = beside(path, LOG).exists() and beside(path, INDEX).exists()
    alone = alone or not (has_both or os.access(path.resolve().parent, os.W_OK))
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
