"""Reads tables of separated values: csv and tsv, plain or gzipped."""

from __future__ import annotations

import csv
import gzip
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TextIO, cast

from halo_core.errors import DataError

SEPARATORS = (",", ";", "\t")
"""Characters that may separate the cells of a csv file. A tsv file always has the last one."""


def delimited_rows(path: Path) -> Iterator[tuple[int, dict[str, str | None]]]:
    """Yields (line, row) of a table, with the line on which the row begins, counted from 1.

    The first line names the columns. All values are text as written. The reader does not guess
    types, because a guess turns the text "007" into a number. An empty cell is None.

    Args:
        path: A file that ends in ``.csv`` or ``.tsv``, or in one of these and ``.gz``. The
            separator of a csv file is the one of `SEPARATORS` that is most often in its header.

    Raises:
        DataError: When the file is not such a table. The error names file and line.
    """
    # The limit of Python's csv is 128 KiB, which a long conversation exceeds.
    csv.field_size_limit(2**31 - 1)
    try:
        with _open(path) as file:
            yield from _rows(file, path)
    except UnicodeError as error:
        raise DataError(
            f"cannot be read as UTF-8 text: {error}; save the file with the encoding UTF-8",
            location=str(path),
        ) from error
    except (EOFError, OSError, zlib.error) as error:
        packed = "gzipped " if path.suffix == ".gz" else ""
        raise DataError(f"cannot be read as {packed}text: {error}", location=str(path)) from error


def _rows(file: TextIO, path: Path) -> Iterator[tuple[int, dict[str, str | None]]]:
    first = file.readline()
    separator = "\t" if ".tsv" in path.suffixes else max(SEPARATORS, key=first.count)
    file.seek(0)
    reader = csv.reader(file, delimiter=separator, strict=True)
    columns: list[str] = []
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader, None)
        except csv.Error as error:
            raise DataError(_broken(error), location=f"{path}:{line}") from error
        if cells is None:
            return
        if not cells:  # An empty line. One of nothing but separators is a row of empty cells.
            continue
        if not columns:
            columns = _columns(cells, f"{path}:{line}")
            continue
        if len(cells) != len(columns):
            raise DataError(_wrong_width(len(cells), columns, separator), location=f"{path}:{line}")
        yield line, {n: cell or None for n, cell in zip(columns, cells, strict=True)}


def _columns(cells: list[str], place: str) -> list[str]:
    # Programs that write the number of each row leave the name of this column empty.
    names = [name.strip() or f"column {i}" for i, name in enumerate(cells, start=1)]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise DataError(
            f"the header names the column {twice!r} twice; expected each name once", location=place
        )
    return names


def _broken(error: csv.Error) -> str:
    why = str(error)
    if "end of data" in why:
        why = "the quote that opens in this row never closes"
    return f"not a row of a table: {why}; expected each quote within a quoted text to be doubled"


def _wrong_width(found: int, columns: list[str], separator: str) -> str:
    named = {"\t": "a tab"}.get(separator, repr(separator))
    return (
        f"the row has {found} cell{'s' if found != 1 else ''}, and the header names "
        f"{len(columns)} columns ({', '.join(columns)}), separated by {named}; expected one cell "
        f'per column: put a text with {named}, a line break or a decimal comma in it into "quotes"'
    )


def _open(path: Path) -> TextIO:
    opener = cast(Callable[..., Any], gzip.open if path.suffix == ".gz" else open)
    # -sig: programs on Windows write a byte order mark first. newline: csv wants it untouched.
    return cast(TextIO, opener(path, "rt", encoding="utf-8-sig", newline=""))
