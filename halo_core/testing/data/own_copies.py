"""Lets a check work on copies of the files that a source's options name.

The files of the user stay as they are, also if the source writes into them. And such a source is
found each time, because each check begins with files as they were.
"""

from __future__ import annotations

import itertools
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from halo_core.data import DataSource
from halo_core.stop_flag import from_outside
from halo_core.testing.data.copied_files import files_in, source_of_copies
from halo_core.testing.data.named_files import COPIES, LARGEST, MOST, named_paths


@dataclass(frozen=True)
class Copied:
    """A source of copies.

    Attributes:
        source: The source; the one of the user if its files are too many or too large, or if it
            cannot read copies.
        folders: The folders of the copies, with those of the user.
    """

    source: DataSource
    folders: Mapping[str, str] = field(default_factory=dict)

    def told(self, text: str) -> str:
        """Returns a text in which the folders of the copies are those of the user."""
        for folder, own in self.folders.items():
            text = text.replace(folder, own)
        return text


@contextmanager
def own_copies(source: DataSource) -> Iterator[Copied]:
    """Yields a source like another one, whose options name copies of its files.

    Args:
        source: The source.
    """
    with TemporaryDirectory(prefix=COPIES) as name:
        folder = Path(os.path.realpath(name))
        copied = None
        if _few_and_small(source):
            tried = _copied(source, folder / "tried")
            if tried is not None and _reads(tried.source):
                # Once more, because some programs change a file at the first reading.
                copied = _copied(source, folder / "files")
            shutil.rmtree(folder / "tried", ignore_errors=True)
        yield copied or Copied(source)


def _few_and_small(source: DataSource) -> bool:
    paths = list(itertools.chain(*named_paths(source).values()))
    files = [each for path in paths for each in (path, *itertools.islice(files_in(path), MOST + 1))]
    if not paths or len(files) > len(paths) + MOST:
        return False
    sizes = [each.stat().st_size for each in files if each.is_file()]
    return sum(sizes) <= LARGEST


def _reads(source: DataSource) -> bool:
    try:
        for split in source.inspect().splits:
            next(iter(source.load(split).rows), None)
    except BaseException as error:
        if from_outside(error):
            raise
        return False
    return True


def _copied(source: DataSource, folder: Path) -> Copied | None:
    """Returns a source of copies in a folder; None if it cannot be made."""
    paths = named_paths(source)
    try:
        other, _ = source_of_copies(source, paths, folder, times=True)
    except (OSError, ValueError):
        return None
    own = [path.parent for each in paths.values() for path in each]
    copies = [path.parent for each in named_paths(other).values() for path in each]
    return Copied(other, dict(zip(map(str, copies), map(str, own), strict=True)))


__all__ = ["Copied", "own_copies"]
