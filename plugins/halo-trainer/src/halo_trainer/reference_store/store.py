"""A store on disk: reads the log-probabilities that it has, and takes those that it has not.

Several processes may read and write it at the same time. Each writes segments of its own. A damaged
segment is removed and a full disk ends the writing, each with a warning. Missing values are
computed again, so neither changes a number.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
from filelock import FileLock

from halo_core.errors import DiskError
from halo_core.workspace.records import REFERENCE_STORE, ReferenceStoreRecord
from halo_trainer.reference_store.index import Index
from halo_trainer.reference_store.segment import (
    ENDING,
    DamagedError,
    Logps,
    Segment,
    write_segment,
)

BUFFER_BYTES = 4 * 2**20
"""Bytes of new values after which they are written."""
BUFFER_S = 30.0
"""Seconds after which new values are written. A process that is killed loses at most these."""
LOOK_S = 10.0
"""Seconds between two looks for segments of other processes."""

STORES = "reference"
"""The folder of all stores, in the workspace's cache."""
USED = ".used"
"""File in a store's folder. The time of its last change is that of the store's last use."""
IN_USE = ".in-use-"
"""Beginning of the names of lock files: one for each process that uses the store."""


class ReferenceStore:
    """The log-probabilities of one reference, computed in one way.

    Args:
        folder: The store's folder, which is made if it does not exist.
        warn: Receives warnings.

    Attributes:
        key: All that its values depend on, as a digest. Nothing is found before `use_key`.
        hits: Number of completions that were found.
        misses: Number of completions that were not found.
    """

    def __init__(self, folder: Path, warn: Callable[[str], None]) -> None:
        self.folder = folder
        self.key: str | None = None
        self.hits = self.misses = 0
        self._warn = warn
        self._index = Index()
        self._passed_over: set[str] = set()
        self._new: dict[bytes, Logps] = {}
        self._new_bytes = 0
        self._written_at = self._looked_at = time.monotonic()
        self._writes = True
        self._lock = FileLock(folder / f"{IN_USE}{uuid.uuid4().hex}")
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock.acquire(timeout=0)
            (folder / USED).touch()
        except OSError as error:
            self._write_no_more(error)

    def use_key(self, key: str) -> None:
        """Sets the key, and opens the segments that were written for it."""
        if key == self.key:
            return
        self.key = key
        self._index, self._passed_over, self._new, self._new_bytes = Index(), set(), {}, 0
        self._look()

    def has(self, key: bytes) -> bool:
        """Returns whether a sequence is in the store, without reading its values."""
        return key in self._new or any(True for _ in self._index.places(key))

    def read(self, key: bytes, length: int) -> Logps | None:
        """Returns the values of a sequence, nats [length]; None if they are not in the store.

        Args:
            key: The name of the sequence [32 bytes].
            length: Number of its completion tokens.
        """
        found = self._find(key)
        if found is None and time.monotonic() - self._looked_at > LOOK_S:
            self._look()
            found = self._find(key)
        if found is not None and len(found) != length:
            found = None
        self.hits += found is not None
        self.misses += found is None
        return found

    def add(self, key: bytes, values: Logps) -> None:
        """Adds the values of a sequence. They are written soon, but not at once.

        Values that are not finite are not kept: an error follows from them.

        Args:
            key: The name of the sequence [32 bytes].
            values: Log-probability of each completion token, nats.
        """
        if not self._writes or key in self._new or not np.isfinite(values).all():
            return
        self._new[key] = values
        self._new_bytes += values.nbytes
        late = time.monotonic() - self._written_at > BUFFER_S
        if late or self._new_bytes >= BUFFER_BYTES:
            self.flush()

    def flush(self) -> None:
        """Writes new values as a segment. If this fails, nothing more is written."""
        if not self._new or self.key is None:
            return
        new, self._new, self._new_bytes = self._new, {}, 0
        try:
            path = write_segment(self.folder, self.key, new)
            (self.folder / USED).touch()
        except (DiskError, OSError) as error:
            self._write_no_more(error)
            return
        self._written_at = time.monotonic()
        self._open([path])

    def write_record(self, record: ReferenceStoreRecord) -> None:
        """Writes the record about the store. If this fails, nothing more is written."""
        try:
            REFERENCE_STORE.write(self.folder, record)
        except (DiskError, OSError) as error:
            self._write_no_more(error)

    def close(self) -> None:
        """Writes new values and ends the use of the store."""
        self.flush()
        with suppress(OSError):
            self._lock.release()
            Path(self._lock.lock_file).unlink(missing_ok=True)

    @property
    def size(self) -> int:
        """Bytes of the store's files on disk."""
        return size_of(self.folder)

    def _find(self, key: bytes) -> Logps | None:
        if key in self._new:
            return self._new[key]
        # A list, because the index changes when a segment is dropped.
        for segment, row in list(self._index.places(key)):
            if segment.path.name not in self._index.segments:
                continue
            try:
                return segment.read(row)
            except DamagedError as error:
                self._index.drop(segment)
                self._damaged(error, segment.path)
        return None

    def _look(self) -> None:
        """Opens segments that were not seen before."""
        self._looked_at = time.monotonic()
        known = self._passed_over | set(self._index.segments)
        self._open([path for path in segment_paths(self.folder) if path.name not in known])

    def _open(self, paths: list[Path]) -> None:
        opened = []
        for path in paths:
            try:
                segment = Segment(path)
            except DamagedError as error:
                self._damaged(error, path)
            except FileNotFoundError:
                continue  # It was pruned a moment ago.
            except OSError as error:
                self._warn(
                    f"{path}: a part of the reference store cannot be read: {error.strerror}. Its "
                    "values are computed again"
                )
            else:
                if segment.store_key == self.key:
                    opened.append(segment)
                    continue
            self._passed_over.add(path.name)
        if opened:
            self._index.add(*opened)

    def _damaged(self, error: DamagedError, path: Path) -> None:
        self._warn(
            f"{path}: a part of the reference store is damaged: {error.message}. It is removed, "
            "and its values are computed again"
        )
        with suppress(OSError):
            path.unlink(missing_ok=True)

    def _write_no_more(self, error: Exception) -> None:
        if self._writes:
            self._warn(
                f"{self.folder}: nothing more is written to the reference store: {error}. "
                "Training continues, and computes what the store lacks"
            )
        self._writes = False


def segment_paths(folder: Path) -> Iterator[Path]:
    """Yields the segments in a store's folder, in the order of their names."""
    for path in sorted(folder.glob(f"*{ENDING}")):
        if not path.name.startswith("."):
            yield path


def size_of(folder: Path) -> int:
    """Returns the bytes of all files in a store's folder."""
    total = 0
    for path in folder.iterdir() if folder.is_dir() else ():
        with suppress(OSError):  # Another process may have removed it.
            total += path.stat().st_size
    return total
