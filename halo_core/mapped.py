"""Arrow tables in mapped files, which take memory only for the parts that are read."""

from __future__ import annotations

import mmap
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow


def mapped_table(path: Path) -> pyarrow.Table:
    """Returns the table of an Arrow file without the memory that opening it takes.

    Arrow reads a few bytes about each batch of rows. The system then maps 64 KB around them, so
    a file with batches of that size would be in memory as a whole before any row is read. These
    pages are returned to it here. A page that is read later is mapped again.

    Raises:
        OSError: When the file cannot be opened.
        ValueError: When it is not a whole Arrow file.
    """
    import pyarrow as pa

    with path.open("rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    # The table keeps the mapping open.
    table = pa.ipc.open_file(pa.BufferReader(pa.py_buffer(mapped))).read_all()
    if hasattr(mmap, "MADV_DONTNEED"):
        mapped.madvise(mmap.MADV_DONTNEED)
    return table
