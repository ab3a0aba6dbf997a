"""Opens the file of paid replies: makes it, checks it, and saves what a damaged one still holds.

The file is checked each time it is opened: SQLite's own check, and a check value in each row. A
damaged file gets another name, and the rows that can be read go into a new file. A small record
next to it says that there was a file, so that a missing one is noticed too.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import NotRequired, TypedDict

from halo_core.errors import DataError
from halo_core.workspace.database_files import (
    INDEX,
    JOURNAL,
    LOG,
    beside,
    check_files,
)
from halo_core.workspace.database_log import CUT, FOREIGN, log_fault
from halo_core.workspace.databases import CHECK_COLUMN, damage_of, is_damage, read_only, row_check
from halo_core.workspace.files import put_in_place
from halo_core.workspace.formats import ObjectFile
from halo_core.workspace.lock import held
from halo_judge.judges.endpoint.damaged_replies import copy_aside, readable_rows
from halo_judge.judges.endpoint.reply_rows import (
    COLUMNS,
    OLDER_COLUMNS,
    TABLE,
    Row,
    insert,
    is_reply,
)

FILE = "replies.sqlite"
_BUSY_S = 60.0
_COUNT = "SELECT COUNT(*) FROM replies"
PAID_AGAIN = (
    "Lost replies are asked and paid for again where they are needed, and their cost no longer "
    "counts towards max_cost"
)

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
        PathError: When something else than a file is in the place of the file or its log.
        sqlite3.Error: When the file cannot be used for another reason than damage.
        OSError: Likewise.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / FILE
    # One process at a time, because two would each make a file, or set the same file aside.
    with held(folder):
        check_files(path)
        if not path.exists():
            _warn_of_missing(folder, warn)
            _make(path, [])
        else:
            _mend(path, warn)
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
    count = db.execute(_COUNT).fetchone()[0]
    COUNTED.write(folder, RepliesRecord(replies=count))


def _last_count(folder: Path) -> int | None:
    """Returns the number of replies when they were last counted; None if that is not known."""
    try:
        record = COUNTED.read(folder)
    except DataError:
        return None
    return None if record is None else record["replies"]


def _warn_of_missing(folder: Path, warn: Warn) -> None:
    counted = _last_count(folder)
    if counted is not None:
        warn(
            f"{folder / FILE} is gone, with all paid replies in it ({counted} when they "
            f"were last counted). {PAID_AGAIN}. If you have a copy, stop and put it back"
        )


def _mend(path: Path, warn: Warn) -> None:
    """Makes an existing file usable, and says what was wrong with it and what is lost."""
    _set_journal_aside(path, warn)
    _settle_log(path, warn)
    if damage := _damage(path):
        _replace(path, damage, warn)
        return
    counted, found = _last_count(path.parent) or 0, _count(path)
    if found < counted:
        warn(
            f"{path} holds {found} replies, but {counted} when they were last counted. "
            f"{PAID_AGAIN}. If you have a newer copy, stop and put it back"
        )


def _set_journal_aside(path: Path, warn: Warn) -> None:
    """Sets a journal aside, which SQLite would write over the newer pages of the file.

    The file has a log. So a journal next to it is that of another database, or of an older halo
    that was killed before the first reply.
    """
    journal = beside(path, JOURNAL)
    if not journal.exists() or journal.stat().st_size == 0:
        return
    aside = copy_aside(path, JOURNAL)
    journal.unlink()
    warn(
        f"{journal} does not belong to {path.name}, which has no journal. It is kept as "
        f"{aside.name}{JOURNAL}; no reply is lost"
    )


def _settle_log(path: Path, warn: Warn) -> None:
    """Sets a log aside that is not that of the file, and says what is lost with one that was cut.

    SQLite would show the pages of another database, and overwrite a log that it cannot read.
    """
    if (fault := log_fault(path)) is None:
        return
    aside = copy_aside(path, LOG)
    if not fault.startswith(CUT):
        _remove(path.resolve(), LOG, INDEX)
    lost = (
        "replies that were in the missing part alone"
        if fault.startswith(CUT)
        else (
            "replies that were in the log of this file alone"
            if fault.startswith(FOREIGN)
            else "replies that were in it alone"
        )
    )
    warn(
        f"{beside(path, LOG)} {fault}, so {lost} are lost. halo moves each reply to {path.name} at "
        f"once, so they are at most those of the moment before a kill. {PAID_AGAIN}. The log is "
        f"kept as {aside.name}{LOG}"
    )


def _damage(path: Path) -> str | None:
    if damage := damage_of(path):
        return damage
    with closing(read_only(path)) as db:
        columns = [name for (name,) in db.execute("SELECT name FROM pragma_table_info('replies')")]
    if columns not in (COLUMNS, OLDER_COLUMNS):
        return f"has the columns {columns}; expected {COLUMNS}"
    return None


def _count(path: Path) -> int:
    """Returns the number of replies in a file; 0 if they cannot be counted because of damage."""
    try:
        with closing(read_only(path)) as db:
            return int(db.execute(_COUNT).fetchone()[0])
    except sqlite3.DatabaseError as error:
        if not is_damage(error):
            raise
        return 0


def _replace(path: Path, damage: str, warn: Warn) -> None:
    """Sets a damaged file aside, and makes a new one with the rows that can be read."""
    # Copied, so that a kill leaves either the damaged file in its place or the new one.
    aside = copy_aside(path, "", LOG)
    rows = readable_rows(path)
    _make(path, rows)
    warn(
        f"{path} {damage}. {len(rows)} replies in it could be read and are kept; all others are "
        f"lost. {PAID_AGAIN}. The damaged file is kept as {aside.name}. If you have a good copy, "
        "stop and put it back"
    )


def _make(path: Path, rows: list[Row]) -> None:
    """Makes a file under another name and renames it, so that an empty file is a damaged one."""
    new = path.with_name(f".{path.name}.new")
    try:
        _remove(new, "", JOURNAL, LOG, INDEX)
        with closing(sqlite3.connect(new)) as db:
            # Here, because SQLite uses a journal once more to begin with a log.
            db.execute("PRAGMA journal_mode=WAL")
            db.execute(TABLE)
            for row in rows:
                insert(db, row)
            db.commit()
        # The log of a file that is gone would be taken for the log of the new one.
        _remove(path, LOG, INDEX)
        put_in_place(new, path)
    finally:
        _remove(new, "", JOURNAL, LOG, INDEX)


def _remove(path: Path, *endings: str) -> None:
    for ending in endings:
        path.with_name(path.name + ending).unlink(missing_ok=True)


def _give_check_values(db: sqlite3.Connection, path: Path, warn: Warn) -> None:
    """Gives check values to the rows that an older halo wrote."""
    columns = [name for (name,) in db.execute("SELECT name FROM pragma_table_info('replies')")]
    if columns != COLUMNS:
        db.execute(f"ALTER TABLE replies ADD COLUMN {CHECK_COLUMN} TEXT")
    query = f"SELECT {', '.join(OLDER_COLUMNS)} FROM replies WHERE {CHECK_COLUMN} IS NULL"
    older = list(db.execute(query))
    if not older:
        return
    unread = [row for row in older if not is_reply(row)]
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
