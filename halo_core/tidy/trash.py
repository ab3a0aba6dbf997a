"""The trash of a workspace. Things move there by renaming, and are deleted afterwards.

A record of what will be moved is written first. If the process is killed, the next call ends the
work.
"""

from __future__ import annotations

import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from halo_core.errors import DataError, DiskError, PathError
from halo_core.workspace.disk import told_if_disk_fails, unwritable
from halo_core.workspace.files import make_durable
from halo_core.workspace.layout import Workspace
from halo_core.workspace.lock import locked
from halo_core.workspace.records import DONE, RUN, TRASH, TrashRecord

BUSY = "another halo runs rm or gc is working in this workspace; wait for it, or stop it"


@contextmanager
def only_remover(root: Path) -> Iterator[None]:
    """Keeps other processes from removing anything in a workspace.

    Raises:
        BusyError: When another process removes something.
        PathError: When the trash is a link, or the workspace cannot be written to.
    """
    place = Workspace(root).trash
    if place.is_symlink():
        raise PathError(
            "the trash is a link; expected a folder of the workspace, because halo follows no "
            "links when it removes something. Remove the link",
            location=str(place),
        )
    if (reason := unwritable(root)) is not None:
        raise PathError(
            f"this workspace cannot be written to, so nothing in it can be removed: {reason}",
            location=str(root),
        )
    with locked(place, BUSY):
        yield


def inside(path: Path, root: Path) -> bool:
    """Returns whether a path is in a workspace without following any link on the way to it."""
    return path.is_relative_to(root) and path.parent.resolve() == path.parent != root.parent


class Removal:
    """A removal: records what to remove, moves it to the trash, deletes it.

    Args:
        root: The workspace.
        folders: The files and folders, in the order in which they are moved.

    Attributes:
        problems: Why some of them could not be moved or deleted.
    """

    def __init__(self, root: Path, folders: Sequence[Path]) -> None:
        self.problems: list[str] = []
        self._root = root
        self._folders = [folder for folder in folders if inside(folder, root)]
        name = f"{time.strftime('%Y%m%d-%H%M%S')}-{uuid.uuid4().hex[:6]}"
        self._place = Workspace(root).trash / name

    def move(self) -> None:
        """Moves everything to the trash. After that, no command sees it."""
        left = list(self._folders)
        while left:
            names = [str(folder.relative_to(self._root)) for folder in left]
            try:
                with told_if_disk_fails(self._root):
                    self._place.mkdir(parents=True, exist_ok=True)
                    TRASH.write(self._place, TrashRecord(time=time.time(), folders=names))
                    make_durable(self._place.parent, within=False)
            except DiskError:
                # Without room for the record, the first folder makes some. It is not moved before.
                self.problems += _delete_in_place(left.pop(0))
            else:
                self.problems += _move(self._root, self._place, names)
                return

    def delete(self) -> None:
        """Deletes what was moved."""
        self.problems += _delete(self._place)


def _delete_in_place(path: Path) -> list[str]:
    """Deletes a folder of a run, a stage or a cache. If killed, what is left is not taken as done.

    Returns:
        The reasons why something could not be deleted.
    """
    for record in (RUN, DONE):
        with suppress(OSError):
            (path / record.name).unlink(missing_ok=True)
    return _delete_one(path)


def finish_earlier(root: Path, still_wanted: Callable[[TrashRecord], Sequence[str]]) -> list[str]:
    """Ends removals that were interrupted, and returns why some could not be ended.

    Args:
        root: The workspace.
        still_wanted: Returns the names in a record that may still be moved.
    """
    problems = []
    for place in left_in_trash(root):
        try:
            record = TRASH.read(place)
        except DataError:  # Its moved folders are deleted, and `gc` finds the others.
            record = None
        if record is not None:
            problems += _move(root, place, still_wanted(record))
        problems += _delete(place)
    return problems


def left_in_trash(root: Path) -> list[Path]:
    """Returns the folders of removals that were interrupted, the oldest first."""
    place = Workspace(root).trash
    if place.is_symlink() or not place.is_dir():
        return []
    return sorted(path for path in place.iterdir() if not path.is_symlink() and path.is_dir())


def _move(root: Path, place: Path, names: Sequence[str]) -> list[str]:
    problems = []
    for name in names:
        source, goal = root / name, place / name
        # Asked again, because a record on disk may have been changed.
        if not os.path.lexists(source) or ".." in Path(name).parts or not inside(source, root):
            continue
        try:
            goal.parent.mkdir(parents=True, exist_ok=True)
            source.rename(goal)
        except OSError as error:
            problems.append(f"{source} could not be moved to the trash: {error.strerror or error}")
    return problems


def _delete(place: Path) -> list[str]:
    """Deletes a folder of the trash. Links in it are deleted as such."""
    if not place.exists():
        return []
    problems: list[str] = []
    for entry in sorted(place.iterdir()):
        if entry.name != TRASH.name:  # It is the last, so that the next call knows the folder.
            problems += _delete_one(entry)
    if not problems:
        shutil.rmtree(place, ignore_errors=True)
    return problems


def _delete_one(entry: Path) -> list[str]:
    problems: list[str] = []

    def failed(_: object, path: str, info: Any) -> None:
        text = getattr(info[1], "strerror", None) or str(info[1])
        problems.append(f"{path} could not be deleted: {text}")

    if entry.is_dir() and not entry.is_symlink():
        shutil.rmtree(entry, onerror=failed)
    else:
        entry.unlink(missing_ok=True)
    return problems
