"""Reads tables of Arrow: parquet, arrow, and folders that `save_to_disk` of `datasets` wrote."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from halo_core.errors import DataError

STATE, SAVED_SPLITS = "state.json", "dataset_dict.json"
"""Files by which a folder of `save_to_disk` is known: of one split, and of several."""
CHUNK = 1000


def parquet_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yields (number, row) of a parquet file, counted from 1, with lists and objects in rows.

    Raises:
        DataError: When it is not a whole parquet file.
    """
    import pyarrow
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path) as file:
            yield from _numbered(file.iter_batches(batch_size=CHUNK))
    except (pyarrow.ArrowException, OSError) as error:
        raise _unreadable("a parquet file", error, path) from error


def arrow_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yields (number, row) of an Arrow file or stream, counted from 1.

    Raises:
        DataError: When it is neither.
    """
    yield from _numbered(_batches(path))


def saved_rows(folder: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yields (number, row) of a folder that `save_to_disk` wrote for one split, counted from 1.

    Raises:
        DataError: When a file of the folder is missing or cannot be read.
    """
    yield from _numbered(batch for file in saved_files(folder) for batch in _batches(file))


def saved_files(folder: Path) -> Sequence[Path]:
    """Returns the Arrow files of a split that `save_to_disk` wrote, in the order of their rows.

    Raises:
        DataError: When the record of the folder is damaged or names a missing file.
    """
    try:
        state = json.loads((folder / STATE).read_text(encoding="utf-8"))
        names = [Path(data["filename"]).name for data in state["_data_files"]]
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise _unreadable("the record of a saved data set", error, folder / STATE) from error
    for name in names:
        if not (folder / name).is_file():
            raise DataError(
                f"{STATE} names the file {name}, which is missing; copy the whole folder again",
                location=str(folder),
            )
    return [folder / name for name in names]


def _batches(path: Path) -> Iterator[Any]:
    import pyarrow

    try:
        with pyarrow.memory_map(str(path)) as source:
            # `datasets` writes streams. Feather files and most other programs write files.
            is_file = source.read(6) == b"ARROW1"
            source.seek(0)
            if is_file:
                file = pyarrow.ipc.open_file(source)
                yield from map(file.get_batch, range(file.num_record_batches))
            else:
                yield from pyarrow.ipc.open_stream(source)
    except (pyarrow.ArrowException, OSError) as error:
        raise _unreadable("an Arrow file", error, path) from error


def _numbered(batches: Iterator[Any]) -> Iterator[tuple[int, dict[str, Any]]]:
    number = 0
    for batch in batches:
        for start in range(0, batch.num_rows, CHUNK):
            for row in batch.slice(start, CHUNK).to_pylist():
                number += 1
                yield number, {name: without_nulls(value) for name, value in row.items()}


def _unreadable(what: str, error: Exception, path: Path) -> DataError:
    why = " ".join(str(error).split())
    return DataError(
        f"cannot be read as {what}: {why:.200}; is the file whole? Copy or write it again",
        location=str(path),
    )


def without_nulls(value: Any) -> Any:
    """Returns a column's value without the keys that Arrow adds.

    In Arrow all objects of a column have the same keys: the arguments of one tool are, as null, in
    the calls of every other tool.
    """
    if isinstance(value, list):
        return [without_nulls(item) for item in value]
    if isinstance(value, Mapping):
        return {k: without_nulls(item) for k, item in value.items() if item is not None}
    return value
