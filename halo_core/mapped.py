"""Arrow tables in mapped files, which take memory only for the parts that are read."""

from __future__ import annotations

import mmap
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow

_BATCHES_AT_ONCE = 16
"""Number of batches that are opened before their pages are returned: about 1 MB."""


def mapped_table(path: Path) -> pyarrow.Table:
    """Returns the table of an Arrow file without the memory that opening it takes.

    Arrow reads a few bytes about each batch of rows. The system then maps 64 KB around them, so
    a file with batches of that size would be in memory as a whole before any row is read. These
    pages are returned to it here, a few batches at a time, so that the largest memory of the
    process does not grow with the file. A page that is read later is mapped again.

    Raises:
        OSError: When the file cannot be opened.
        ValueError: When it is not a whole Arrow file.
    """
    import pyarrow as pa

    with path.open("rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    # The batches keep the mapping open.
    reader = pa.ipc.open_file(pa.BufferReader(pa.py_buffer(mapped)))
    batches = []
    for number in range(reader.num_record_batches):
        batches.append(reader.get_batch(number))
        if len(batches) % _BATCHES_AT_ONCE == 0:
            _return_pages(mapped)
    _return_pages(mapped)
    return pa.Table.from_batches(batches, schema=reader.schema)


def _return_pages(mapped: mmap.mmap) -> None:
    if hasattr(mmap, "MADV_DONTNEED"):
        mapped.madvise(mmap.MADV_DONTNEED)
