"""Checks whether the disk has room for a file, and names the path that cannot be read or written.

Nothing is ever deleted to make room.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from halo_core.errors import DiskError, text_of
from halo_core.printing import shortened

MARGIN_BYTES = 16 * 2**20
MARGIN_SHARE = 0.01
ADVICE = (
    "Make room on this disk (halo runs gc helps), or move the workspace; then run the same command "
    "again to continue"
)
_FULL = (errno.ENOSPC, errno.EDQUOT)
_FULL_WORDS = os.strerror(errno.ENOSPC)
_REFUSED = {
    errno.EFBIG: "a file may not become this large here. Raise the limit of the shell (ulimit -f), "
    "or name a place on another file system",
    errno.EIO: "the disk, or the connection to it, fails. Look at the log of the system, and name "
    "a place on another disk",
    errno.ESTALE: "the file system of another machine was mounted again or is gone. Mount it",
}
"""Errors of a disk that may come with any write, and often without a path."""
_OF_SYSTEM = re.compile(r"\b(?:os error|Os \{ code:|[Ee]rrno) (\d+)")
"""The number of the system's error, as libraries in Rust (safetensors) and C++ (Arrow) write it."""
_TOO_MANY = "too many files are open at once. Raise the limit of the shell (ulimit -n)"

_NEEDS = {
    errno.EACCES: "this user may not read or write it. Change its permissions, or name another",
    errno.EPERM: "this user may not change it. Change its permissions, or name another",
    errno.EROFS: "the file system is read-only; expected a place that can be written to",
    errno.ENAMETOOLONG: "its name is too long for the file system; choose a shorter one",
    errno.EISDIR: "a folder is in the place of a file. Move it away",
    errno.ENOTDIR: "a file is in the place of a folder. Move it away",
    errno.EEXIST: "something else is in the place of a folder. Move it away",
    errno.ELOOP: "links lead in a circle. Remove them",
    errno.EMFILE: _TOO_MANY,
    errno.ENFILE: _TOO_MANY,
    **_REFUSED,
}


def path_problem(error: BaseException) -> tuple[str, str | None] | None:
    """Returns a message and the path of a system's error about a path, or None for other errors.

    The path is None for an error of the disk that names no path.

    Args:
        error: Any error.
    """
    if not isinstance(error, OSError):
        return None
    if error.filename is None:
        if error.errno in _FULL:
            return f"the disk is full: {error.strerror}. {ADVICE}", None
        if isinstance(error, FileNotFoundError) and _no_current_folder():
            return "the current folder was removed; go to another one with cd", None
        told = {**_REFUSED, errno.EMFILE: _TOO_MANY, errno.ENFILE: _TOO_MANY}.get(error.errno or 0)
        return None if told is None else (f"{error.strerror}: {told}", None)
    # A rename failed because of its target. The other file is halo's own.
    in_the_way = error.errno in (errno.EISDIR, errno.ENOTDIR) and error.filename2 is not None
    path = os.fsdecode(error.filename2 if in_the_way else error.filename)
    if error.errno in _FULL:
        free = free_bytes(Path(path).parent)
        return f"the disk is full: {error.strerror}; {free:,} bytes are free. {ADVICE}", path
    need = _NEEDS.get(error.errno or 0)
    return None if need is None else (f"{error.strerror}: {need}", path)


@contextmanager
def told_of_paths() -> Iterator[None]:
    """Turns the system's error about a path into one that names the path and the need.

    Raises:
        DiskError: Instead of the error of the system.
    """
    try:
        yield
    except OSError as error:
        if (problem := path_problem(error)) is None:
            raise
        message, path = problem
        place = None if path is None else shortened(path, 300)
        raise DiskError(message, location=place) from error


def _no_current_folder() -> bool:
    try:
        os.getcwd()
    except OSError:
        return True
    return False


def unwritable(folder: Path) -> str | None:
    """Returns why this user cannot make files in an existing folder; None if that is possible."""
    if os.access(folder, os.W_OK | os.X_OK):
        return None
    # `os.access` answers no for either reason.
    read_only = os.statvfs(folder).f_flag & os.ST_RDONLY
    return os.strerror(errno.EROFS if read_only else errno.EACCES)


def free_bytes(folder: Path) -> int:
    """Returns the bytes that this user can still write in a folder, which may not exist yet."""
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    return shutil.disk_usage(there).free


def with_margin(needed: int) -> int:
    """Returns the needed bytes plus a margin for logs and other records."""
    return round(needed * (1 + MARGIN_SHARE)) + MARGIN_BYTES


def check_room(folder: Path, needed: int, what: str) -> None:
    """Compares the bytes to write with the free bytes.

    Args:
        folder: The folder to write to.
        needed: Number of bytes to write.
        what: Words for the message, such as ``a checkpoint``.

    Raises:
        DiskError: When there is too little room, including a margin.
    """
    free = free_bytes(folder)
    if with_margin(needed) > free:
        raise DiskError(
            f"there is no room for {what}: {needed:,} bytes are needed and some for records, "
            f"{with_margin(needed):,} in all; {free:,} bytes are free. {ADVICE}",
            location=str(folder),
        )


@contextmanager
def told_if_disk_fails(folder: Path, advice: str = ADVICE) -> Iterator[None]:
    """Turns the error of a disk that is full or fails into one that names the folder.

    Args:
        folder: The folder that is written to.
        advice: A sentence, without its full stop, that says what to do.

    Raises:
        DiskError: Instead of the error of the system, or of a library that wraps it.
    """
    try:
        yield
    except Exception as error:
        # An error with a path of another folder is reported with that path.
        if isinstance(error, OSError) and _is_elsewhere(error, folder):
            raise
        if (failure := _failure(error)) is not None:
            raise DiskError(
                f"cannot be written: {error}: {failure}; then run the same command again to "
                "continue",
                location=str(folder),
            ) from error
        if not _is_full(error, folder):
            raise
        raise DiskError(
            f"the disk is full: {error}; {free_bytes(folder):,} bytes are free. {advice}",
            location=str(folder),
        ) from error


def told_if_temporary_file_fails(why: str) -> AbstractContextManager[None]:
    """Turns the error of the disk of temporary files into one that names their folder.

    Args:
        why: A sentence, without its full stop, that says what is in the file.

    Raises:
        DiskError: Instead of the error of the system.
    """
    advice = "Make room there, or set TMPDIR to a folder on another disk; then run the same command"
    return told_if_disk_fails(Path(tempfile.gettempdir()), f"{why}. {advice} again")


def _is_elsewhere(error: OSError, folder: Path) -> bool:
    """Returns whether an error names paths, all of which are outside of a folder."""
    paths = [
        Path(os.fsdecode(name)).absolute()
        for name in (error.filename, error.filename2)
        if isinstance(name, str | bytes)
    ]
    inside = folder.absolute()
    return bool(paths) and not any(path.is_relative_to(inside) for path in paths)


def _failure(error: Exception) -> str | None:
    """Returns what to do about an error of a disk other than that it is full."""
    if isinstance(error, DiskError):
        return None
    if isinstance(error, OSError) and error.errno is not None:
        return _REFUSED.get(error.errno)
    # The words alone may mean another thing, such as a file that is too large for a server.
    number = _number_in(error)
    return None if number is None else _REFUSED.get(number)


def _number_in(error: Exception) -> int | None:
    """Returns the number of the system's error in the text of a library's own error."""
    number = _OF_SYSTEM.search(text_of(error))
    return None if number is None else int(number[1])


def _is_full(error: Exception, folder: Path) -> bool:
    if isinstance(error, DiskError):
        return False
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno in _FULL
    # Libraries that are not in Python report it only as text. Without a number, the disk of
    # another machine may be meant, so that the free bytes decide.
    if (number := _number_in(error)) is not None:
        return number in _FULL
    if _FULL_WORDS in text_of(error) and free_bytes(folder) < MARGIN_BYTES:
        return True
    # Others, such as datasets, raise an error of their own after it.
    cause = error.__cause__
    return isinstance(cause, Exception) and _is_full(cause, folder)
