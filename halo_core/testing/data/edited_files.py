"""Checks what a data source does when its file is edited, is empty, or has the name of another."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from halo_core.data import DataSource
from halo_core.errors import UserError
from halo_core.testing.component import expect
from halo_core.testing.data.copied_files import (
    Paths,
    Told,
    leave_out_a_line,
    source_of_copies,
    told_of,
)

LATER_S = 2
"""Seconds that an edited file is newer. Some caches look at whole seconds."""


def check_edits(source: DataSource, paths: Paths, told: Told) -> None:
    """Checks a source with a file that is edited between two readings, and with an empty file.

    Args:
        source: The source.
        paths: The paths that its options name.
        told: Its digest and its rows.

    Raises:
        AssertionError: When the second reading gives rows that were in the file before, when a file
            of the same name in the current folder is read, or when a text file without content
            raises something else than an error of the user.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        edited = _edited(source, paths, folder / "fresh")
        if edited is not None and edited["content"] != told["content"]:
            _check_stale(source, paths, folder / "stale", edited)
            _check_namesake(source, paths, folder / "namesake", told)
        _check_empty(source, paths, folder / "empty")


def _edited(source: DataSource, paths: Paths, folder: Path) -> Told | None:
    """Returns what a source of edited copies says; None if it cannot be read."""
    with suppress(Exception):
        other, files = source_of_copies(source, paths, folder)
        leave_out_a_line(files[:1])
        return told_of(other)
    return None


def _check_stale(source: DataSource, paths: Paths, folder: Path, edited: Told) -> None:
    try:
        other, files = source_of_copies(source, paths, folder)
        before = told_of(other)
        leave_out_a_line(files[:1])
        time = files[0].stat().st_mtime + LATER_S
        os.utime(files[0], (time, time))
        after = told_of(other)
    except Exception:
        return  # It reads another copy of the same content, so this is the business of other rules.
    expect(
        after["content"] != before["content"] or before["content"] == edited["content"],
        source,
        "its file was edited between two readings, and the second one gives the rows of before; do "
        "not keep rows in a cache, or look at the content of the file",
    )
    expect(
        after["digest"] != before["digest"] or after["digest"] is None,
        source,
        "its file was edited between two calls of inspect(), and it gives the digest of before; "
        "results of the old rows would be taken for those of the new ones",
    )


def _check_namesake(source: DataSource, paths: Paths, folder: Path, told: Told) -> None:
    _, files = source_of_copies(source, paths, folder)
    leave_out_a_line(files[:1])
    with _inside(files[0].parent):
        try:
            here = told_of(source)
        except Exception:
            return  # The business of other rules.
    expect(
        here == told,
        source,
        f"it reads the file {files[0].name!r} of the current folder in place of the one that its "
        "option names; open the path of the option as it is, which is absolute",
    )


def _check_empty(source: DataSource, paths: Paths, folder: Path) -> None:
    try:
        other, files = source_of_copies(source, paths, folder)
        files[0].read_text("utf-8")
    except Exception:
        return  # The format of another library, which has errors of its own.
    files[0].write_bytes(b"")
    try:
        told_of(other)
    except UserError:
        return
    except Exception as error:
        raise AssertionError(
            f"{source!r}: with an empty file, it raised {type(error).__name__}: {error}; expected "
            "no rows, or a DataError that says that the file is empty"
        ) from error


@contextmanager
def _inside(folder: Path) -> Iterator[None]:
    before = os.getcwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


__all__ = ["check_edits"]
