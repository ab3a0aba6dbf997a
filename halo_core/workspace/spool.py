"""Rows that are read more than once, in a temporary file instead of in memory."""

from __future__ import annotations

import json
import tempfile
import weakref
from collections.abc import Collection, Iterator, Mapping
from types import TracebackType
from typing import Any, Self

from halo_core.workspace.disk import told_if_temporary_file_fails

IN_MEMORY = 4 * 2**20
"""Bytes of rows that stay in memory; more go to a file in the folder for temporary files."""

Row = Mapping[str, Any]
_SIMPLE = frozenset({str, float, bool, type(None)})
_DEEPEST = 50
_LONGEST = 10**600
"""Python may be set to read no whole number with more than 640 digits."""


class Spool:
    """Rows in their order, which come back as they were.

    A row with values that JSON does not keep exactly, such as tuples or objects of a plugin, stays
    in memory. One reader at a time can read the rows, either in order or at their places. The file
    is removed when the block of `with` ends, or when nothing refers to the rows.

    Args:
        why: A sentence that says why rows are there, for the message if the disk fails.
    """

    def __init__(
        self, why: str = "A conversion keeps its rows there until it has read all of them"
    ) -> None:
        self._file = tempfile.SpooledTemporaryFile(max_size=IN_MEMORY)
        self._why = why
        self._odd: dict[int, Row] = {}
        self._count = 0
        self._end = 0
        self._close = weakref.finalize(self, self._file.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._close()

    def __len__(self) -> int:
        return self._count

    def add(self, row: Row) -> int:
        """Adds a row after the others, and returns its place for `at`.

        Raises:
            DiskError: When the disk of the temporary files is full, or fails.
        """
        if _comes_back(row):
            line = _WRITER.encode(row).encode("utf-8", "surrogatepass")
        else:
            self._odd[self._end] = row
            line = b""
        place = self._end
        self._count += 1
        self._end += len(line) + 1
        try:
            self._file.write(line + b"\n")
        except OSError:
            with told_if_temporary_file_fails(self._why):
                raise
        return place

    def at(self, place: int) -> Row:
        """Returns the row at a place that `add` returned. No row can be added afterwards."""
        with told_if_temporary_file_fails(self._why):
            self._file.seek(place)  # This writes what is still in a buffer.
        return self._read(place, self._file.readline())

    def __iter__(self) -> Iterator[Row]:
        with told_if_temporary_file_fails(self._why):
            self._file.seek(0)  # This writes what is still in a buffer.
        place = 0
        for line in self._file:
            yield self._read(place, line)
            place += len(line)

    def _read(self, place: int, line: bytes) -> Row:
        if place in self._odd:
            return self._odd[place]
        row: Row = json.loads(line.decode("utf-8", "surrogatepass"))
        return row


# Not in ASCII: escapes would join two halves of a surrogate pair, which are two characters here.
_WRITER = json.JSONEncoder(ensure_ascii=False, check_circular=False, separators=(",", ":"))


def _comes_back(value: Any, depth: int = 0) -> bool:
    """Returns whether a value is the same after it was written and read as JSON."""
    kind = type(value)
    if kind is dict:
        return all(type(name) is str for name in value) and _all_come_back(value.values(), depth)
    if kind is list:
        return _all_come_back(value, depth)
    return kind in _SIMPLE or (kind is int and abs(value) < _LONGEST)


def _all_come_back(values: Collection[Any], depth: int) -> bool:
    kinds = {*map(type, values)}
    if kinds <= _SIMPLE:
        return True
    if kinds == {int}:  # Token ids come by the thousand.
        return bool(-_LONGEST < min(values) and max(values) < _LONGEST)
    return depth < _DEEPEST and all(_comes_back(value, depth + 1) for value in values)
