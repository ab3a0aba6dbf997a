"""The stores of a workspace: what they hold, when they were last used, and how they are removed."""

from __future__ import annotations

import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from halo_core.errors import DataError
from halo_core.workspace.records import REFERENCE_STORE
from halo_trainer.reference_store.segment import Segment
from halo_trainer.reference_store.store import IN_USE, USED, segment_paths, size_of

REMOVED = ".removed-"
"""Beginning of the name of a store's folder while it is removed."""

DAY_S = 24 * 3600


@dataclass(frozen=True)
class StoreEntry:
    """A store in a workspace.

    Attributes:
        folder: Its folder.
        model: Name of the reference; None if its record is missing or damaged.
        completions: Number of stored completions.
        damaged: Number of segments that are not as they were written, as far as their index shows.
        bytes: Size on disk.
        last_used: When it was last read or written, in seconds since 1970.
        in_use: Whether a training uses it now.
    """

    folder: Path
    model: str | None
    completions: int
    damaged: int
    bytes: int
    last_used: float
    in_use: bool

    def days_unused(self) -> float:
        """Returns the days since its last use."""
        return (time.time() - self.last_used) / DAY_S


def entries(stores: Path) -> list[StoreEntry]:
    """Returns the stores below a folder, the last used first.

    Args:
        stores: The folder of all stores, which may not exist.
    """
    found = [_entry(folder) for folder in _folders(stores)]
    return sorted(found, key=lambda entry: -entry.last_used)


def remove(entry: StoreEntry) -> bool:
    """Removes a store from the disk, and returns whether it was removed.

    A store that a training uses now is not removed. A training that begins to use it at this moment
    continues with an empty one.

    Args:
        entry: The store.
    """
    if _in_use(entry.folder):
        return False
    gone = entry.folder.with_name(f"{REMOVED}{uuid.uuid4().hex}")
    try:
        entry.folder.rename(gone)
    except FileNotFoundError:
        return False  # Another process has removed it.
    shutil.rmtree(gone, ignore_errors=True)
    return True


def remove_remains(stores: Path) -> None:
    """Removes what a killed `remove` has left."""
    for folder in stores.glob(f"{REMOVED}*"):
        shutil.rmtree(folder, ignore_errors=True)


def _folders(stores: Path) -> Iterator[Path]:
    for path in sorted(stores.iterdir()) if stores.is_dir() else ():
        if path.is_dir() and not path.name.startswith("."):
            yield path


def _entry(folder: Path) -> StoreEntry:
    try:
        record = REFERENCE_STORE.read(folder)
    except DataError:
        record = None
    sizes = [_completions(path) for path in segment_paths(folder)]
    used = folder / USED
    return StoreEntry(
        folder=folder,
        model=None if record is None else record["model"],
        completions=sum(size for size in sizes if size is not None),
        damaged=sizes.count(None),
        bytes=size_of(folder),
        last_used=(used if used.exists() else folder).stat().st_mtime,
        in_use=_in_use(folder),
    )


def _completions(path: Path) -> int | None:
    """Returns the number of completions of a segment; None if it is damaged."""
    try:
        return len(Segment(path))
    except DataError:
        return None
    except OSError:
        return 0  # It was removed a moment ago, or belongs to another user.


def _in_use(folder: Path) -> bool:
    """Returns whether a process holds one of the lock files; removes those that none holds."""
    for path in folder.glob(f"{IN_USE}*"):
        lock = FileLock(path)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            return True
        except OSError:
            continue
        with suppress(OSError):
            path.unlink(missing_ok=True)
        lock.release()
    return False
