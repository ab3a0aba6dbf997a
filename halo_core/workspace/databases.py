"""Checks of SQLite files: SQLite's own check of the structure, and check values of rows.

SQLite's check finds pages that do not fit together. It does not find another letter in a text, so
a table whose last column is named `crc` has a check value in each row.
"""

from __future__ import annotations

import json
import sqlite3
import zlib
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

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


def damage_of(path: Path) -> str | None:
    """Returns what is wrong with an existing SQLite file, or None. Reads all of it.

    Raises:
        sqlite3.OperationalError: When it cannot be read for another reason, for example because
            another process holds it.
    """
    if path.stat().st_size == 0:
        return "is empty"
    with closing(read_only(path)) as db:
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


def read_only(path: Path) -> sqlite3.Connection:
    """Returns a connection that writes nothing. Bytes that are not UTF-8 are read as escapes."""
    db = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)
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
