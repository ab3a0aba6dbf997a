"""Saves what a damaged file of paid replies still holds.

A row has a check value, so a row that is read from any part of the file is known to be whole.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from halo_core.workspace.database_files import JOURNAL, LOG, beside
from halo_core.workspace.databases import FAULTS, is_damage, read_only, row_check
from halo_judge.judges.endpoint.reply_rows import OLDER_COLUMNS, Row, is_reply

RANGES = 16**3
"""Number of ranges of keys in which a damaged file is read."""
MOST_ADDED = 100
"""A file that was cut off becomes at most this many times longer, to read it."""
_ENDINGS = ("", JOURNAL, LOG)


def unused_name(path: Path) -> Path:
    """Returns the name under which a damaged file is kept. No file has it yet."""
    number = 1
    while any(path.with_name(f"{path.name}.damaged-{number}{end}").exists() for end in _ENDINGS):
        number += 1
    return path.with_name(f"{path.name}.damaged-{number}")


def copy_aside(path: Path, *endings: str) -> Path:
    """Copies files of a database to an unused name, and returns that of the database.

    Args:
        path: The database.
        endings: The endings of the files to copy; "" is the database itself.
    """
    aside = unused_name(path)
    for ending in endings:
        _copy(path, aside, ending)
    return aside


def _copy(path: Path, to: Path, ending: str) -> None:
    with suppress(FileNotFoundError):
        shutil.copy2(beside(path, ending), to.with_name(to.name + ending))


def readable_rows(path: Path) -> list[Row]:
    """Returns the rows of a damaged file that are as they were written.

    The file is read with its log and without it, because the log may be the damaged part, or that
    of another database.
    """
    found: dict[tuple[str, int], Row] = {}
    for endings in (("",), ("", LOG)) if beside(path, LOG).exists() else (("",),):
        with TemporaryDirectory(dir=path.parent) as folder:
            copy = Path(folder) / path.name
            for ending in endings:
                _copy(path, copy, ending)
            _lengthen(copy)
            with closing(read_only(copy)) as db:
                found |= {row[:2]: row for row in _all_whole_rows(db)}
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


def _all_whole_rows(db: sqlite3.Connection) -> Iterator[Row]:
    """Yields the whole rows of all readable pages.

    Reading stops at a damaged page. So the keys, which are hexadecimal hashes, are read in many
    small ranges, and each range from both ends. If many pages are lost, little or nothing can be
    read, because SQLite finds a row through other rows.
    """
    for number in range(RANGES):
        begins = f"{number:0{len(f'{RANGES - 1:x}')}x}"
        for order in ("key", "key DESC"):
            yield from _whole_rows(db, begins, order)


def _whole_rows(db: sqlite3.Connection, begins: str, order: str) -> Iterator[Row]:
    """Yields the rows whose keys begin with a text, up to a damaged page."""
    # The end of the range is the text with a letter that comes after all hexadecimal digits.
    query = f"SELECT * FROM replies WHERE key BETWEEN ? AND ? ORDER BY {order}"
    try:
        for row in db.execute(query, (begins, f"{begins}g")):
            values, check = row[: len(OLDER_COLUMNS)], row[len(OLDER_COLUMNS) :]
            # Rows of an older halo have no check value.
            if check == (row_check(values),) or (check in ((), (None,)) and is_reply(values)):
                yield values
    except FAULTS as error:
        if not is_damage(error):
            raise
