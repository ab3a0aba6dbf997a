"""Reads the rows of several files, one after another, each with its id and its place."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from halo_data.files.formats import format_of
from halo_data.rows.cells import from_cells
from halo_data.rows.forms import Record


def records_of(paths: Sequence[Path], split: str, columns: Mapping[str, str]) -> Iterator[Record]:
    """Yields the rows of files. The place of each row has its file, and its line or number.

    The id of a row is ``split:number``, or ``split:file:number`` if there are several files, where
    the file is written from the folder that all of them are in.

    Args:
        paths: The files, or folders that `save_to_disk` wrote.
        split: The name of the split.
        columns: The name in the rows by standard name.

    Raises:
        DataError: When a file cannot be read. The error names the file, and the line if it has one.
    """
    shared = os.path.commonpath([path.parent for path in paths])
    for path in paths:
        form = format_of(path)
        start = f"{split}:{path.relative_to(shared).as_posix()}" if len(paths) > 1 else split
        for number, given in form.read(path):
            place = f"{path}{form.place}{number}"
            row = from_cells(given, columns, place) if form.is_text else given
            yield Record(f"{start}:{number}", place, row)
