"""Bytes of files and folders. Links are counted as such; what they point to is not."""

from __future__ import annotations

import os
from pathlib import Path


def size_of(path: Path | str) -> int:
    """Returns the bytes of a file, or of all files in a folder; 0 if there is none."""
    try:
        total = 0
        with os.scandir(path) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    total += size_of(entry.path)
                else:
                    total += entry.stat(follow_symlinks=False).st_size
        return total
    except NotADirectoryError:
        return os.lstat(path).st_size
    except OSError:  # Another process has just removed it, or it belongs to another user.
        return 0


def places(root: Path) -> dict[str, int]:
    """Returns the bytes of each file and folder in a workspace by its name, the largest first.

    Hidden files, which are locks, are left out.
    """
    found = {
        p.name: 0 if p.is_symlink() else size_of(p) for p in root.iterdir() if p.name[0] != "."
    }
    return dict(sorted(found.items(), key=lambda item: -item[1]))


class Sizes:
    """Measures each folder once, because runs share stages."""

    def __init__(self) -> None:
        self._known: dict[Path, int] = {}

    def of(self, folder: Path) -> int:
        """Returns the bytes of a folder."""
        if folder not in self._known:
            self._known[folder] = 0 if folder.is_symlink() else size_of(folder)
        return self._known[folder]


def size_text(size: int) -> str:
    """Returns a number of bytes with a unit, in powers of ten.

    >>> [size_text(n) for n in (0, 999, 1234, 56_700_000, 1.5e12)]
    ['0 B', '999 B', '1.2 kB', '57 MB', '1.5 TB']
    """
    value, units = float(size), ["B", "kB", "MB", "GB", "TB"]
    while value >= 999.5 and len(units) > 1:
        value /= 1000
        del units[0]
    return (
        f"{value:.0f} {units[0]}" if value >= 9.95 or units[0] == "B" else f"{value:.1f} {units[0]}"
    )
