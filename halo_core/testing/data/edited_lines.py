"""Edits the lines of a copy of a source's file, and reads the rows of the source again."""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from halo_core.data import DataSource
from halo_core.errors import UserError
from halo_core.testing.data.copied_files import source_of_copies
from halo_core.testing.data.named_files import LARGEST, named_paths

LINES = 24
"""Number of lines of a file, its first ones, that are edited. Those after them are left out."""

LEAST = 4
"""Number of lines from which a file says something about the form of its lines."""

FILES = 2
"""Number of files that are edited, one at a time."""

SLOW_S = 0.25
"""Seconds of a reading of so few lines from which nothing is edited: there are many readings."""

LATER_S = 2
"""Seconds between the times of two edits, because a source may look at the time of its file."""


@dataclass(frozen=True)
class Content:
    """The rows and the counts of a source.

    Attributes:
        rows: The number of times of each row of all splits, as JSON without its id and group, which
            may be the number of a line.
        counts: The number of dropped rows by split and reason.
    """

    rows: Counter[str]
    counts: Mapping[tuple[str, str], int]

    @property
    def dropped(self) -> int:
        """Number of dropped rows."""
        return sum(self.counts.values())

    def reasons(self, split: str) -> dict[str, int]:
        """Returns the dropped rows of a split by reason."""
        return {reason: count for (name, reason), count in self.counts.items() if name == split}


class EditedFile:
    """A copy of a text file of a source, whose lines can be replaced.

    Attributes:
        source: The source of the copy.
        name: The name of the file.
        lines: Its first lines, with their ends.
        splits: The splits that were read last.
        error: The last error of a reading.
    """

    def __init__(self, source: DataSource, file: Path) -> None:
        self.source, self._file = source, file
        self.name = file.name
        # Not `splitlines`: a text may hold line ends of other kinds, such as U+2028.
        lines = file.read_text("utf-8").removesuffix("\n").split("\n")[:LINES]
        self.lines: Sequence[str] = [f"{line}\n" for line in lines]
        self.splits: Sequence[str] = ()
        self.error: Exception | None = None
        self._time = file.stat().st_mtime

    def read(self, lines: Sequence[str]) -> Content | None:
        """Returns the content of the source with other lines; None if it raises.

        Args:
            lines: The lines, with their ends.
        """
        self._file.write_text("".join(lines), "utf-8", newline="")
        self._time += LATER_S
        os.utime(self._file, (self._time, self._time))
        return self.read_again()

    def read_again(self) -> Content | None:
        """Returns the content of the source with the present lines; None if it raises."""
        rows: Counter[str] = Counter()
        counts: dict[tuple[str, str], int] = {}
        try:
            self.splits = self.source.inspect().splits
            for split in self.splits:
                loaded = self.source.load(split)
                rows.update(map(_plain, loaded.rows))
                counts |= {(split, reason): n for reason, n in loaded.dropped.items() if n}
        except Exception as error:
            self.error = error
            return None
        return Content(rows, counts)


def _plain(row: Mapping[str, Any]) -> str:
    kept = {name: value for name, value in row.items() if name not in ("id", "group")}
    return json.dumps(kept, ensure_ascii=False, sort_keys=True, default=repr)


@contextmanager
def edited_files(source: DataSource) -> Iterator[Iterator[tuple[EditedFile, Content]]]:
    """Yields copies of the text files that a source's options name, and the content of the source.

    A file has its first lines again when the next one comes.

    Files that are not text, that have few lines, or whose first lines the source cannot read, are
    left out. So are those of a source that needs more than `SLOW_S` for some lines.

    Args:
        source: A source whose data are available.
    """
    paths = named_paths(source)
    inside = [each for every in paths.values() for each in every]
    if not inside or any(each.is_file() and each.stat().st_size > LARGEST for each in inside):
        yield iter(())
        return
    with TemporaryDirectory() as name:
        found: list[EditedFile] = []
        try:
            copy, files = source_of_copies(source, paths, Path(name))
        except (OSError, ValueError, UserError):  # It may take only files of one place.
            files = []
        for file in files[:FILES] if len(files) <= 2 * FILES else []:
            whole = file.read_bytes()
            try:
                edited = EditedFile(copy, file)
            except ValueError:
                continue  # It is not a text in UTF-8.
            begun = time.monotonic()
            content = edited.read(edited.lines) if len(edited.lines) >= LEAST else None
            if content is not None and time.monotonic() - begun <= SLOW_S:
                found.append(edited)
            else:
                file.write_bytes(whole)
        yield _in_turn(found)


def _in_turn(found: Sequence[EditedFile]) -> Iterator[tuple[EditedFile, Content]]:
    """Yields each file, and the content of the source while the others have their first lines."""
    for edited in found:
        content = edited.read(edited.lines)
        if content is not None:
            yield edited, content
        edited.read(edited.lines)


__all__ = ["Content", "EditedFile", "edited_files"]
