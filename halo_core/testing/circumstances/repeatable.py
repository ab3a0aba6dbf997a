"""Checks that another process finds the same rows of a source, whatever its environment is."""

from __future__ import annotations

import itertools
import json
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from halo_core.data import DataSource
from halo_core.testing.circumstances.elsewhere import LOCALE, check_elsewhere
from halo_core.testing.circumstances.told import source_told
from halo_core.testing.data.copied_files import files_in
from halo_core.testing.data.data_identity import described
from halo_core.testing.data.named_files import named_paths

FILES = 1000
"""Number of files whose names are looked at."""


def check_repeatable(source: DataSource) -> None:
    """Checks that another process finds the same digest and the same rows.

    The circumstances are those of `check_elsewhere`. The locale stays as it is if a path is not
    ASCII, because Python could not open it.

    Args:
        source: A source whose data are available.

    Raises:
        AssertionError: When they differ, when the source cannot be read there, when its first
            reading in a process writes a file outside of caches, or when an environment variable
            changes a row.
    """
    with TemporaryDirectory() as folder:
        check_elsewhere(
            source,
            source_told,
            Path(folder),
            ranked=True,
            left_out=() if _is_ascii(source) else (LOCALE,),
        )


def _is_ascii(source: DataSource) -> bool:
    """Returns whether a process without UTF-8 can open all files."""
    places = [path for paths in named_paths(source).values() for path in paths]
    inside = [str(each) for path in places for each in itertools.islice(files_in(path), FILES)]
    told = json.dumps([sys.path, described(source), *map(str, places), *inside], ensure_ascii=False)
    return told.isascii() and len(inside) < FILES


__all__ = ["check_repeatable"]
