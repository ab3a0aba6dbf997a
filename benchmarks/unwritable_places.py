"""Places that cannot be written to, for `unwritable.py`: full, read-only, forbidden, too long."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from halo_mlflow.store.store import settled_store

ROOM_BYTES = 64 * 2**20
"""Size of the tmpfs before it is filled up."""


@dataclass(frozen=True)
class Place:
    """A spoiled place.

    Attributes:
        folder: The folder in which everything is spoiled, or the parent of such a folder.
        workspace: A spoiled copy of the workspace.
        out: A spoiled folder for output.
        before: Words before the command, which take rights away.
    """

    folder: Path
    workspace: Path
    out: Path
    before: tuple[str, ...] = ()


def _filled(folder: Path, workspace: Path) -> Place:
    copied = folder / "ws"
    shutil.copytree(workspace, copied, symlinks=True)
    settled_store(None, copied)  # It was moved, which is not what is tried here.
    (folder / "out").mkdir()
    return Place(folder, copied, folder / "out")


@contextmanager
def full(folder: Path, workspace: Path) -> Iterator[Place]:
    """A disk without room."""
    _mount("-t", "tmpfs", "-o", f"size={ROOM_BYTES}", "tmpfs", str(folder))
    try:
        place = _filled(folder, workspace)
        with (folder / "filler").open("wb", buffering=0) as file:
            for size in (2**20, 2**12, 1):
                try:
                    while True:
                        file.write(b"\0" * size)
                except OSError:
                    continue
        yield place
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@contextmanager
def read_only(folder: Path, workspace: Path) -> Iterator[Place]:
    """A file system that is mounted read-only."""
    _mount("-t", "tmpfs", "-o", f"size={ROOM_BYTES}", "tmpfs", str(folder))
    try:
        place = _filled(folder, workspace)
        _mount("-o", "remount,ro", str(folder))
        yield place
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@contextmanager
def forbidden(folder: Path, workspace: Path) -> Iterator[Place]:
    """Folders and files that this user may read, but not change."""
    place = _filled(folder, workspace)
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o500 if path.is_dir() else 0o400)
    rights = ("setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-all")
    try:
        yield Place(folder, place.workspace, place.out, rights if os.getuid() == 0 else ())
    finally:
        for path in (folder, *folder.rglob("*")):
            if path.is_dir() and not path.is_symlink():
                path.chmod(0o700)


@contextmanager
def too_long(folder: Path, workspace: Path) -> Iterator[Place]:
    """A name that the file system does not take."""
    name = "x" * 300
    yield Place(folder, folder / name, folder / name)


@contextmanager
def longest(folder: Path, workspace: Path) -> Iterator[Place]:
    """Folders whose paths are so long that the paths in them are too long."""
    at = folder
    while (left := 4040 - len(os.fsencode(at))) > 1:
        at = at / ("y" * min(200, left - 1))
    os.makedirs(at)
    yield Place(folder, at, at)


FAULTS = {
    "full": full,
    "read-only": read_only,
    "forbidden": forbidden,
    "too long": too_long,
    "longest": longest,
}


def _mount(*words: str) -> None:
    subprocess.run(["mount", *words], check=True)
