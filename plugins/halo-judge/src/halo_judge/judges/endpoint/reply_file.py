"""Opens the file of paid replies: makes it, checks it, and saves what a damaged one still holds.

The file is checked each time it is opened: SQLite's own check, and a check value in each row. A
damaged file gets another name, and the rows that can be read go into a new file. A small record
next to it says that there was a file, so that a missing one is noticed too.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NotRequired, TypedDict

from halo_core.errors import DataError
from halo_core.workspace.databases import (
    CHECK_COLUMN,
    FAULTS,
    damage_of,
    is_damage,
    read_only,
    row_check,
)
from halo_core.workspace.files import put_in_place
from halo_core.workspace.formats import ObjectFile
from halo_core.workspace.lock import held

FILE = "replies.sqlite"
RANGES = 16**3
"""Number of ranges of keys in which a damaged file is read."""
MOST_ADDED = 100
"""A file that was cut off becomes at most this many times longer, to read it."""
_BUSY_S = 60.0
_TABLE = """
CREATE TABLE replies (
    key TEXT NOT NULL,        -- of the request that began it, see request_key
    attempt INTEGER NOT NULL, -- a number from 0 on; below 0 for a reply that cannot be used
    request TEXT NOT NULL,    -- JSON
    reply TEXT NOT NULL,      -- JSON
    cost REAL,                -- dollars, NULL when the price is not known
    account TEXT NOT NULL,    -- who paid
    time REAL NOT NULL,       -- Unix seconds
    crc TEXT,                 -- check value of the columns before it, see row_check
    PRIMARY KEY (key, attempt)
) WITHOUT ROWID
"""
_COLUMNS = ["key", "attempt", "request", "reply", "cost", "account", "time", CHECK_COLUMN]
_OLDER_COLUMNS = _COLUMNS[:-1]
PAID_AGAIN = (
    "Lost replies are asked and paid for again where they are needed, and their cost no longer "
    "counts towards max_cost"
)

Row = tuple[str, int, str, str, float | None, str, float]
"""A row without its check value."""
Warn = Callable[[str], None]


class RepliesRecord(TypedDict):
    """`replies.sqlite.json`: how many replies the file next to it held."""

    schema: NotRequired[int]
    """Version of the file."""
    replies: int
    """Number of replies when it was last opened or closed."""


COUNTED = ObjectFile(f"{FILE}.json", RepliesRecord, "Remove it; it is written again")


def open_replies(folder: Path, warn: Warn) -> sqlite3.Connection:
    """Returns a connection to a folder's checked file of replies, which is made if there is none.

    Args:
        folder: The folder of the file.
        warn: Function that shows a warning to the user.

    Raises:
        sqlite3.Error: When the file cannot be used for another reason than damage.
        OSError: Likewise.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / FILE
    # One process at a time, because two would each make a file, or set the same file aside.
    with held(folder):
        if not path.exists():
            _warn_of_missing(folder, warn)
            _make(path, [])
        elif damage := _damage(path):
            _replace(path, damage, warn)
        db = sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False)
        try:
            # Several processes of a workspace write at once; a reply is paid for, and outlives its
            # process and a power cut. Each reply is moved into the file itself at once, because
            # SQLite does not notice that its second file, the log, is gone or damaged.
            db.execute("PRAGMA journal_mode=WAL")
            db.execute("PRAGMA synchronous=FULL")
            db.execute("PRAGMA wal_autocheckpoint=1")
            _give_check_values(db, path, warn)
            count_replies(db, folder)
        except BaseException:
            db.close()
            raise
    return db


def count_replies(db: sqlite3.Connection, folder: Path) -> None:
    """Writes the number of replies into the record next to their file."""
    count = db.execute("SELECT COUNT(*) FROM replies").fetchone()[0]
    COUNTED.write(folder, RepliesRecord(replies=count))


def insert(db: sqlite3.Connection, row: Row) -> None:
    """Inserts a row with its check value, unless there is one with its key and attempt."""
    marks = ", ".join("?" * len(_COLUMNS))
    db.execute(
        f"INSERT OR IGNORE INTO replies ({', '.join(_COLUMNS)}) VALUES ({marks})",
        (*row, row_check(row)),
    )


def _warn_of_missing(folder: Path, warn: Warn) -> None:
    try:
        record = COUNTED.read(folder)
    except DataError:
        record = None
    if record is not None:
        warn(
            f"{folder / FILE} is gone, with all paid replies in it ({record['replies']} when they "
            f"were last counted). {PAID_AGAIN}. If you have a copy, stop and put it back"
        )


def _damage(path: Path) -> str | None:
    if damage := damage_of(path):
        return damage
    with closing(read_only(path)) as db:
        columns = [name for (name,) in db.execute("SELECT name FROM pragma_table_info('replies')")]
    if columns in (_COLUMNS, _OLDER_COLUMNS):
        return None
    return f"has the columns {columns}; expected {_COLUMNS}"


def _replace(path: Path, damage: str, warn: Warn) -> None:
    """Sets a damaged file aside, and makes a new one with the rows that can be read."""
    aside = _unused_name(path)
    # Copied, so that a kill leaves either the damaged file in its place or the new one.
    _copy(path, aside)
    rows = _readable(path)
    _make(path, rows)
    warn(
        f"{path} {damage}. {len(rows)} replies in it could be read and are kept; all others are "
        f"lost. {PAID_AGAIN}. The damaged file is kept as {aside.name}. If you have a good copy, "
        "stop and put it back"
    )


def _unused_name(path: Path) -> Path:
    number = 1
    while (aside := path.with_name(f"{path.name}.damaged-{number}")).exists():
        number += 1
    return aside


def _copy(path: Path, to: Path) -> None:
    for ending in ("", "-wal"):
        with suppress(FileNotFoundError):
            shutil.copy2(path.with_name(path.name + ending), to.with_name(to.name + ending))


def _readable(path: Path) -> list[Row]:
    """Returns the rows of a damaged file that are as they were written.

    Reading stops at a damaged page. So the keys, which are hexadecimal hashes, are read in many
    small ranges, and each range from both ends. If many pages are lost, little or nothing can be
    read, because SQLite finds a row through other rows.
    """
    found: dict[tuple[str, int], Row] = {}
    with TemporaryDirectory(dir=path.parent) as folder:
        copy = Path(folder) / FILE
        _copy(path, copy)
        _lengthen(copy)
        with closing(read_only(copy)) as db:
            for number in range(RANGES):
                begins = f"{number:0{len(f'{RANGES - 1:x}')}x}"
                for order in ("key", "key DESC"):
                    found |= {row[:2]: row for row in _whole_rows(db, begins, order)}
    return list(found.values())


def _lengthen(path: Path) -> None:
    """Adds zeros to a file that was cut off. SQLite reads nothing of a file that is too short."""
    with path.open("rb+") as file:
        header = file.read(100)
        # https://www.sqlite.org/fileformat.html: the size of a page, and the number of pages.
        page_size, pages = int.from_bytes(header[16:18]), int.from_bytes(header[28:32])
        size = file.seek(0, os.SEEK_END)
        if size < page_size * pages <= MOST_ADDED * size:
            file.truncate(page_size * pages)


def _whole_rows(db: sqlite3.Connection, begins: str, order: str) -> Iterator[Row]:
    """Yields the rows whose keys begin with a text, up to a damaged page."""
    # The end of the range is the text with a letter that comes after all hexadecimal digits.
    query = f"SELECT * FROM replies WHERE key BETWEEN ? AND ? ORDER BY {order}"
    try:
        for row in db.execute(query, (begins, f"{begins}g")):
            values, check = row[: len(_OLDER_COLUMNS)], row[len(_OLDER_COLUMNS) :]
            # Rows of an older halo have no check value.
            if check == (row_check(values),) or (check in ((), (None,)) and _is_reply(values)):
                yield values
    except FAULTS as error:
        if not is_damage(error):
            raise


def _is_reply(values: Row) -> bool:
    try:
        request, reply = json.loads(values[2]), json.loads(values[3])
    except (TypeError, ValueError, RecursionError):
        return False
    return isinstance(request, dict) and isinstance(reply, dict)


def _make(path: Path, rows: list[Row]) -> None:
    """Makes a file under another name and renames it, so that an empty file is a damaged one."""
    beside = path.with_name(f".{path.name}.new")
    try:
        beside.unlink(missing_ok=True)
        with closing(sqlite3.connect(beside)) as db:
            db.execute(_TABLE)
            for row in rows:
                insert(db, row)
            db.commit()
        # The log of a file that is gone would be taken for the log of the new one.
        for ending in ("-wal", "-shm"):
            path.with_name(path.name + ending).unlink(missing_ok=True)
        put_in_place(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def _give_check_values(db: sqlite3.Connection, path: Path, warn: Warn) -> None:
    """Gives check values to the rows that an older halo wrote."""
    columns = [name for (name,) in db.execute("SELECT name FROM pragma_table_info('replies')")]
    if columns != _COLUMNS:
        db.execute(f"ALTER TABLE replies ADD COLUMN {CHECK_COLUMN} TEXT")
    query = f"SELECT {', '.join(_OLDER_COLUMNS)} FROM replies WHERE {CHECK_COLUMN} IS NULL"
    older = list(db.execute(query))
    if not older:
        return
    unread = [row for row in older if not _is_reply(row)]
    db.execute("BEGIN IMMEDIATE")
    for row in unread:
        db.execute("DELETE FROM replies WHERE key = ? AND attempt = ?", row[:2])
    update = f"UPDATE replies SET {CHECK_COLUMN} = ? WHERE key = ? AND attempt = ?"
    db.executemany(update, [(row_check(row), *row[:2]) for row in older if row not in unread])
    db.execute("COMMIT")
    warn(
        f"{path}: an older halo wrote {len(older)} replies without check values, so it is not "
        f"known whether they are as they were written. {len(unread)} of them are not JSON. "
        f"{PAID_AGAIN}. The others have check values now"
    )
