"""Checks a data source with the files that its options name: they stay, may move, and may change.

A library that is written in C can write into a file without Python noticing it. So the files are
compared before and after.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from halo_core.data import DataSource
from halo_core.option_fields import marks
from halo_core.option_markers import Location
from halo_core.testing.component import expect
from halo_core.testing.data.copied_files import (
    Paths,
    Told,
    files_in,
    leave_out_a_line,
    source_of_copies,
    told_of,
)
from halo_core.testing.data.edited_files import check_edits
from halo_core.testing.trackers.connections import connections

LARGEST = 1 << 26
"""Bytes of all files up to which they are compared in whole, and copied. Of more, the size and the
time are compared."""

MOST = 500
"""Number of files of an option that are compared. More files are not copied."""

COPIES = "halo-copies-"
"""The beginning of the names of folders with copies, which have nothing but the files."""

EDITED = 3
"""Number of files that are changed, one at a time."""


def check_files(source: DataSource) -> None:
    """Checks that the files named by options stay as they are, and that the digest follows them.

    Call it before anything else reads the source: some programs change a file only once. With
    `own_copies`, the files of the user stay as they are, whatever the source does.

    Args:
        source: A source whose data are available. It may name no file.

    Raises:
        AssertionError: When reading changes one of the files or adds one next to it, when an option
            is a path without `Location`, when copies of the files have another digest and
            the same rows, when changed files have other rows and the same digest, or when it asks a
            server that no option names.
        UserError: When the source finds a fault in the data.
    """
    paths = named_paths(source)
    if not paths:
        return
    before = _state(paths)
    with connections() as asked:
        told = told_of(source)
    after = _state(paths)
    changed = [path for path in {**before, **after} if before.get(path) != after.get(path)]
    expect(
        not changed,
        source,
        f"reading it changes {', '.join(changed[:3])}, a file of the user, or its time; open "
        "files for reading only, and put an index or a cache elsewhere",
    )
    _check_marked(source, paths)
    _check_alone(source, asked)
    size = sum(each.size for each in after.values())
    if size <= LARGEST and all(map(_has_few, itertools.chain(*paths.values()))):
        _check_copies(source, paths, told)
        check_edits(source, paths, told)


def named_paths(source: DataSource) -> Paths:
    """Returns the absolute paths that exist among the values of a source's options."""
    found: dict[str, list[Path]] = {}
    for name, field in type(source).model_fields.items():
        value = getattr(source, name)
        each = value if isinstance(value, list | tuple) else [value]
        paths = [Path(v) for v in each if isinstance(v, str | Path) and os.path.isabs(v)]
        if paths and len(paths) == len(each) and all(path.exists() for path in paths):
            found[field.alias or name] = paths
    return found


class _File:
    """The size, the time and a hash of a file. One that is too large has no hash."""

    def __init__(self, path: Path, most: int) -> None:
        stat = path.stat()
        self.size, self.time = stat.st_size, stat.st_mtime_ns
        if self.size <= most:
            self.digest = hashlib.sha256(path.read_bytes()).digest()
        else:  # To read it would take too long.
            self.digest = b""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _File) and vars(self) == vars(other)

    def __hash__(self) -> int:
        return hash((self.size, self.digest, self.time))


def _state(paths: Paths) -> dict[str, _File]:
    """Returns the content of each named file, and of those next to it that begin with its name.

    If the folder is one of copies, these are all files in it.
    """
    found: dict[str, _File] = {}
    left = LARGEST
    for path in itertools.chain(*paths.values()):
        pattern = "*" if COPIES in str(path) else f"{_escaped(path.name)}*"
        beside = path.parent.glob(pattern) if path.is_file() else ()
        for each in itertools.islice((*beside, *files_in(path)), MOST):
            # SQLite keeps these two next to a database that is only read.
            passing = each.name.endswith(("-wal", "-shm"))
            linked = each.is_symlink() and pattern == "*"
            if each.is_file() and os.access(each, os.R_OK) and not passing and not linked:
                found[str(each)] = _File(each, left)
                left -= min(left, found[str(each)].size)
    return found


def _escaped(name: str) -> str:
    return "".join(f"[{c}]" if c in "*?[" else c for c in name)


def _has_few(path: Path) -> bool:
    return next(itertools.islice(files_in(path), MOST, None), None) is None


def _check_marked(source: DataSource, paths: Paths) -> None:
    fields = {field.alias or name: field for name, field in type(source).model_fields.items()}
    for name in paths:
        expect(
            bool(marks(fields[name], Location)),
            source,
            f"the option {name!r} is a path without a marker, so a relative path would depend on "
            "the folder where halo is started, and a moved folder would change the identity of "
            "results; write Annotated[str, Location()]",
        )


def _check_alone(source: DataSource, asked: Sequence[str]) -> None:
    """Checks that a source of files asks no server that its options do not name."""
    options = json.dumps(source.model_dump(mode="json"))
    others = [each for each in asked if each.partition(":")[0] not in options]
    expect(
        not others or "://" in options,
        source,
        f"it asks {', '.join(dict.fromkeys(others))} while it reads the files that its options "
        "name, so its rows depend on a server; read the files only, or let an option name the "
        "server",
    )


def _check_copies(source: DataSource, paths: Paths, told: Told) -> None:
    copy = _told_of_copy(source, paths, lambda _: None)
    if copy is None or copy["content"] != told["content"]:
        return  # It may read other files than those that it names, such as another split.
    expect(
        copy["digest"] == told["digest"],
        source,
        "a copy of its files, with another folder and time, has another digest and the same rows; "
        "make the digest of the content: hashlib.sha256 of its bytes",
    )
    if told["digest"] is None:
        return
    for number, change in itertools.product(range(EDITED), (_swap_lines, leave_out_a_line)):

        def changed(
            files: Sequence[Path],
            number: int = number,
            change: Callable[[Sequence[Path]], None] = change,
        ) -> None:
            change(files[number : number + 1])

        other = _told_of_copy(source, paths, changed)
        if other is not None and other["content"] != told["content"]:
            expect(
                other["digest"] != told["digest"],
                source,
                "its files were changed, and it has other rows with the same digest; make the "
                "digest of the whole content: hashlib.sha256 of its bytes",
            )


def _told_of_copy(
    source: DataSource, paths: Paths, change: Callable[[Sequence[Path]], None]
) -> Told | None:
    """Returns what a source of changed copies of the files says; None if it cannot be read."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            other, files = source_of_copies(source, paths, Path(folder))
            change(files)
            return told_of(other)
        except Exception:
            return None  # A changed file may be invalid, which is the business of other rules.


def _swap_lines(files: Sequence[Path]) -> None:
    """Exchanges the second and the third line of text files: the first may be a header."""
    for file in files:
        first, *lines = file.read_text("utf-8").splitlines(keepends=True)
        if len(lines) > 1:
            file.write_text("".join([first, lines[1], lines[0], *lines[2:]]), "utf-8")


__all__ = ["check_files", "named_paths"]
