"""The files of a SQLite database: the file itself, and those that SQLite keeps next to it.

SQLite takes what it finds next to a database for its own. A log of another database hides rows, a
folder or a link in the place of a log makes every access fail, and a pipe is waited for without
end.
"""

from __future__ import annotations

import shutil
import stat
from contextlib import suppress
from pathlib import Path

from halo_core.errors import PathError

JOURNAL, LOG, INDEX = "-journal", "-wal", "-shm"
"""Endings of the files that SQLite adds to the name of a database."""
_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISLNK, "a link"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
)


def beside(path: Path, ending: str) -> Path:
    """Returns the file that SQLite keeps next to a database, which is next to a link's target."""
    real = path.resolve()
    return real.with_name(real.name + ending)


def check_files(path: Path) -> None:
    """Checks that SQLite can open a database, as far as the kinds of its files show it.

    Args:
        path: The database. It and the files next to it need not exist.

    Raises:
        PathError: When something else than a file is in the place of one of them.
    """
    for file in (path.resolve(), *(beside(path, ending) for ending in (JOURNAL, LOG, INDEX))):
        try:
            mode = file.lstat().st_mode
        except (FileNotFoundError, NotADirectoryError):
            continue
        if not stat.S_ISREG(mode):
            kind = next((words for is_kind, words in _KINDS if is_kind(mode)), "a device")
            raise PathError(
                f"is {kind}; expected a file that SQLite made for {path.name}, or nothing. Move it "
                "away",
                location=str(file),
            )


def has_changes_beside(path: Path) -> bool:
    """Returns whether changes of a database are in a file next to it, so that it is not whole."""
    for ending in (JOURNAL, LOG):
        with suppress(FileNotFoundError):
            if beside(path, ending).stat().st_size:
                return True
    return False


def copy_files(path: Path, copy: Path) -> None:
    """Copies a database with its journal or log, so that SQLite completes it when it is opened.

    Everybody who may write to the folder of the copy can do so to the copy, unlike to the database.

    Args:
        path: The database.
        copy: The file to make.

    Raises:
        OSError: When it cannot be read, or there is no room for the copy.
    """
    for ending in ("", JOURNAL, LOG):
        with suppress(FileNotFoundError):
            shutil.copyfile(beside(path, ending), beside(copy, ending))


__all__ = [
    "INDEX",
    "JOURNAL",
    "LOG",
    "beside",
    "check_files",
    "copy_files",
    "has_changes_beside",
]
