"""The formats of files with rows, known by the ends of their names, and their readers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from halo_core.errors import DataError
from halo_core.workspace.json_files import ENDINGS, objects
from halo_data.files.delimited import delimited_rows
from halo_data.files.tables import STATE, arrow_rows, parquet_rows, saved_rows

Read = Callable[[Path], Iterator[tuple[int, dict[str, Any]]]]
"""Function that yields (number, row) of a file."""


@dataclass(frozen=True)
class Format:
    """A format of files.

    Attributes:
        name: Its name, which is part of the digest of the data. "json" has no part in it, because
            digests of JSON files are older than this list.
        read: Function that yields its rows with their numbers.
        place: Text between a file's name and a number, in messages: ``train.csv:3``.
        is_text: Whether all values are text, so that lists and numbers are text, too.
    """

    name: str
    read: Read
    place: str
    is_text: bool = False


_JSON = Format("json", objects, ":")
_DELIMITED = Format("delimited", delimited_rows, ":", is_text=True)
_PARQUET, _ARROW = Format("parquet", parquet_rows, " row "), Format("arrow", arrow_rows, " row ")
SAVED = Format("saved", saved_rows, " row ")
"""A folder that `save_to_disk` wrote for one split."""

FORMATS: dict[str, Format] = {
    **dict.fromkeys(ENDINGS, _JSON),
    **dict.fromkeys((".csv", ".csv.gz", ".tsv", ".tsv.gz"), _DELIMITED),
    ".parquet": _PARQUET,
    ".arrow": _ARROW,
    ".feather": _ARROW,
}
"""The format of a file by the end of its name."""
READABLE = ", ".join(ending for ending in FORMATS if not ending.endswith(".gz"))
"""The endings for messages. The endings with ``.gz`` are named by `GZIPPED`."""
GZIPPED = "JSON, csv and tsv files may end in .gz"


def ending_of(path: Path) -> str | None:
    """Returns the end of a file's name that names its format; None if no format is known.

    >>> ending_of(Path("thumbs.v2.csv.gz")), ending_of(Path("thumbs.xlsx"))
    ('.csv.gz', None)
    """
    return next((end for end in FORMATS if path.name.endswith(end)), None)


def format_of(path: Path) -> Format:
    """Returns the format of a file, or of a folder that `save_to_disk` wrote.

    Raises:
        DataError: When no format is known.
    """
    if (path / STATE).is_file():
        return SAVED
    ending = ending_of(path)
    if ending is None:
        raise DataError(f"expected a file that ends in {READABLE}; {GZIPPED}", location=str(path))
    return FORMATS[ending]


def is_json(path: Path) -> bool:
    """Returns whether a file is a JSON file by its name."""
    ending = ending_of(path)
    return ending is not None and FORMATS[ending] is _JSON
