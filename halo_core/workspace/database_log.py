"""Finds out whether the log next to a SQLite database is whole and belongs to it.

SQLite replays each log that it finds next to a database. If the log is of another database, its
pages replace those of the database, and rows are gone silently. If its end is missing, the
changes at its end are gone likewise. The headers of the database, of the log and of its index show
most of these cases. The index is left by a killed process, until SQLite opens the database again.

References:
    The SQLite file format, sections 1.3 (header of a database), 4.1 and 4.2 (header and check
    values of a log), and SQLite's WAL-mode file format, section 2.1 (header of an index).
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Literal

from halo_core.workspace.database_files import INDEX, LOG, beside

_LOG_HEADER, _FRAME_HEADER = 32, 24
"""Bytes of the header of a log, and of that of a frame, which is followed by one page."""
_BIG, _LITTLE = 0x377F0683, 0x377F0682
"""First number of a log, by the byte order of its check values."""
_DATABASE = b"SQLite format 3\0"
_WITHOUT_LOG = b"\1\1"
"""Bytes 18 and 19 of a database that is written with a journal, and never with a log."""
_INDEX_HEADER = 48
_INDEX_VERSION = 3007000

FOREIGN = "is that of another database"
CUT = "was cut"


def log_fault(path: Path) -> str | None:
    """Returns what is wrong with the log of a database, or None. Reads headers only.

    The answer begins with `FOREIGN`, with `CUT`, or with "is damaged". SQLite reads a log that was
    cut up to the cut. It takes a damaged one for empty, and overwrites it.

    Some cases have no sign: a log without its index that was cut between two frames, or that is of
    another database with a log and pages of the same size. If rows with check values vanish with
    such a log, `halo_core.workspace.databases.damage_of` finds it.

    Args:
        path: The database. It and its log need not exist.

    Raises:
        OSError: When one of the files cannot be read.
    """
    index = _start_of(beside(path, INDEX), 2 * _INDEX_HEADER + 4)
    log = _start_of(beside(path, LOG), _LOG_HEADER)
    if not log:
        return None
    if not _is_header(log):
        return "is damaged: it does not begin as a log of SQLite does"
    page = int.from_bytes(log[8:12], "big")
    if fault := _of_another(path, page):
        return f"{FOREIGN}: {fault}"
    size = _size(beside(path, LOG))
    # A process that works at this moment changes index and log one after the other.
    if index != _start_of(beside(path, INDEX), 2 * _INDEX_HEADER + 4):
        return None
    frames, rest = divmod(max(0, size - _LOG_HEADER), _FRAME_HEADER + page)
    if fault := _against_index(index, log, frames):
        return fault
    # SQLite writes the header of a frame, then its page. A kill can come between them.
    if rest not in (0, _FRAME_HEADER):
        return f"{CUT}: it ends in the middle of a page"
    return None


def _of_another(path: Path, page: int) -> str | None:
    header = _start_of(path, 100)
    if len(header) < 100 or not header.startswith(_DATABASE):
        return None
    if header[18:20] == _WITHOUT_LOG:
        return f"{path.name} is written without a log"
    own = int.from_bytes(header[16:18], "big")
    own = 65536 if own == 1 else own
    if own != page:
        return f"it has pages of {page} bytes, and {path.name} has pages of {own} bytes"
    return None


def _against_index(index: bytes, log: bytes, frames: int) -> str | None:
    """Compares a log with its index. An index that SQLite would not use says nothing."""
    first, second = index[:_INDEX_HEADER], index[_INDEX_HEADER : 2 * _INDEX_HEADER]
    if first != second or _number(first, 0) != _INDEX_VERSION or not first[12]:
        return None
    listed, moved = _number(first, 16), _number(index, 2 * _INDEX_HEADER)
    if listed and first[32:40] != log[16:24]:
        return f"{FOREIGN}: its index is that of a log with another salt"
    # Frames that were moved into the database are no longer needed.
    if listed > max(frames, moved):
        return f"{CUT}: it has {frames} pages, and its index lists {listed}"
    return None


def _number(content: bytes, at: int) -> int:
    return int.from_bytes(content[at : at + 4], sys.byteorder)


def _is_header(header: bytes) -> bool:
    """Returns whether the header of a log has its check value."""
    magic = int.from_bytes(header[:4], "big")
    if len(header) < _LOG_HEADER or magic not in (_BIG, _LITTLE):
        return False
    order: Literal["big", "little"] = "big" if magic == _BIG else "little"
    words = [int.from_bytes(header[at : at + 4], order) for at in range(0, 24, 4)]
    first = second = 0
    for one, other in zip(words[::2], words[1::2], strict=True):
        first = (first + one + second) % 2**32
        second = (second + other + first) % 2**32
    return header[24:] == first.to_bytes(4, "big") + second.to_bytes(4, "big")


def _start_of(path: Path, length: int) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(length)
    except FileNotFoundError:
        return b""


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def move_log_aside(path: Path) -> Path:
    """Renames a log, so that SQLite does not find it, and returns its new place.

    Its index is renamed with it. SQLite makes a new one from the log of the database.

    Args:
        path: The database.

    Raises:
        FileNotFoundError: When another process has moved it already.
    """
    log, index = beside(path, LOG), beside(path, INDEX)
    number = 1
    while log.with_name(f"{log.name}.aside-{number}").exists():
        number += 1
    aside = log.rename(log.with_name(f"{log.name}.aside-{number}"))
    if index.exists():
        index.rename(index.with_name(f"{index.name}.aside-{number}"))
    return aside


__all__ = ["CUT", "FOREIGN", "log_fault", "move_log_aside"]
