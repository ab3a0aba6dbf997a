"""A segment: one file of a store, written whole by one process and never changed.

It is a safetensors file with four arrays:

* ``keys``, uint8 [S, 32]: the name of each sequence; see `sequence_key`.
* ``offsets``, int64 [S + 1]: where the values of each sequence begin and end.
* ``checks``, uint32 [S]: CRC-32 of each sequence's name and values.
* ``logps``, float32 [T]: log-probability of each completion token, nats.

Its metadata hold the store's key and a SHA-256 of the first three arrays. That is compared when a
segment is opened, and a check value when a sequence is read.
"""

from __future__ import annotations

import hashlib
import os
import uuid
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from halo_core.errors import DataError
from halo_core.workspace.disk import check_room, told_if_disk_fails
from halo_core.workspace.files import put_in_place
from halo_trainer.reference_store.sequence_key import KEY_BYTES

FORMAT = "1"
"""Version of the format. It is raised when an older halo could misread a segment."""

ENDING = ".safetensors"

Logps = npt.NDArray[np.float32]


class DamagedError(DataError):
    """A segment holds other bytes than were written."""


class Segment:
    """An open segment, mapped into memory.

    Args:
        path: The file.

    Attributes:
        path: The file.
        store_key: The key of the store that it was written for.
        keys: The name of each sequence, uint8 [S, 32].

    Raises:
        DamagedError: When it is not as it was written.
        OSError: When it cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        # A segment that is gone or belongs to another user is not a damaged one.
        path.open("rb").close()
        try:
            file: Any = safe_open(path, framework="numpy")
            metadata: Mapping[str, str] = file.metadata() or {}
            parts = {name: file.get_tensor(name) for name in ("keys", "offsets", "checks")}
            self._logps = file.get_slice("logps")
            shape, kind = self._logps.get_shape(), self._logps.get_dtype()
        except (SafetensorError, ValueError, KeyError, TypeError) as error:
            raise DamagedError(f"cannot be read: {error}", location=str(path)) from error
        self.keys, self._offsets, self._checks = parts["keys"], parts["offsets"], parts["checks"]
        self.store_key = metadata.get("store", "")
        given = metadata.get("index"), kind, metadata.get("format")
        if given != (_index_digest(self.store_key, parts), "F32", FORMAT):
            raise DamagedError("its index is not what was written", location=str(path))
        if shape != [int(self._offsets[-1])]:
            raise DamagedError("it has too few or too many values", location=str(path))

    def __len__(self) -> int:
        """Number of sequences."""
        return len(self.keys)

    def read(self, row: int) -> Logps:
        """Returns the values of a sequence, nats [completion tokens].

        Raises:
            DamagedError: When they are not those that were written.
        """
        begin, end = int(self._offsets[row]), int(self._offsets[row + 1])
        values: Logps = self._logps[begin:end]
        if _check(self.keys[row].tobytes(), values) != int(self._checks[row]):
            raise DamagedError("it holds other values than were written", location=str(self.path))
        return values


def write_segment(folder: Path, store_key: str, values: Mapping[bytes, Logps]) -> Path:
    """Writes a segment into a store's folder and returns its path.

    The file is on the disk before it gets its name. So other processes see whole segments only.

    Args:
        folder: The store's folder, which is made if it does not exist.
        store_key: The key of the store.
        values: Log-probabilities of at least one sequence by its name, nats.

    Raises:
        DiskError: When there is too little room.
        OSError: When the folder cannot be written to.
    """
    sizes = [len(logps) for logps in values.values()]
    keys = np.frombuffer(b"".join(values), dtype=np.uint8).reshape(-1, KEY_BYTES)
    checks = [_check(key, logps) for key, logps in values.items()]
    index: dict[str, npt.NDArray[Any]] = {
        "keys": keys,
        "offsets": np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
        "checks": np.array(checks, dtype=np.uint32),
    }
    metadata = {"format": FORMAT, "store": store_key, "index": _index_digest(store_key, index)}
    arrays = {**index, "logps": np.concatenate(list(values.values()))}
    folder.mkdir(parents=True, exist_ok=True)
    check_room(folder, sum(array.nbytes for array in arrays.values()), "a part of the store")
    path = folder / f"{uuid.uuid4().hex}{ENDING}"
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with told_if_disk_fails(folder):
            beside.write_bytes(save(arrays, metadata))
            put_in_place(beside, path)
    finally:
        beside.unlink(missing_ok=True)
    return path


def _index_digest(store_key: str, parts: Mapping[str, npt.NDArray[Any]]) -> str:
    digest = hashlib.sha256(f"{FORMAT} {store_key}".encode())
    for name in ("keys", "offsets", "checks"):
        array = parts[name]
        digest.update(f"{name} {array.dtype.str} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _check(key: bytes, values: Logps) -> int:
    return zlib.crc32(np.ascontiguousarray(values).tobytes(), zlib.crc32(key))
