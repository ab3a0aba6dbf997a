"""Token ids and their log-probabilities in a temporary file, while a judge reads only the texts."""

from __future__ import annotations

import tempfile
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from halo_core.workspace.disk import told_if_temporary_file_fails

TOKENS = ("token_ids", "token_logps")
"""Columns of a sample that the store keeps."""
STORED = "stored"
"""Name under which `TokenStore.set_aside` returns the place of the columns."""
_WHY = "Token ids wait there until the judge has answered"
_LARGEST = 2**31


@dataclass(frozen=True, slots=True)
class StoredTokens:
    """The place of the token ids and log-probabilities of a completion.

    Attributes:
        store: The store that has them.
        place: Their first byte.
        ids: Number of ids.
        logps: Number of log-probabilities; None if there are none.
    """

    store: TokenStore
    place: int
    ids: int
    logps: int | None

    def read(self) -> tuple[list[int], list[float] | None]:
        """Returns the token ids and the log-probabilities."""
        return self.store.read(self)


class TokenStore:
    """A temporary file of token ids and log-probabilities, which come back as they were."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile()
        self._end = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    def put(self, ids: Sequence[int], logps: Sequence[float] | None) -> StoredTokens | None:
        """Stores the tokens of a completion; returns None for those that would come back changed.

        Raises:
            DiskError: When the disk of the temporary files is full, or fails.
        """
        # They may come from a file that somebody wrote by hand.
        if not isinstance(ids, Sequence) or not isinstance(logps, Sequence | None):
            return None
        if not all(type(id_) is int and -_LARGEST <= id_ < _LARGEST for id_ in ids):
            return None
        if not all(type(number) is float for number in logps or ()):
            return None
        content = array("i", ids).tobytes() + array("d", logps or ()).tobytes()
        place = self._end
        with told_if_temporary_file_fails(_WHY):
            self._file.seek(place)
            self._file.write(content)
        self._end += len(content)
        return StoredTokens(self, place, len(ids), None if logps is None else len(logps))

    def read(self, stored: StoredTokens) -> tuple[list[int], list[float] | None]:
        """Returns the token ids and the log-probabilities at a place."""
        ids, logps = array("i"), array("d")
        with told_if_temporary_file_fails(_WHY):
            self._file.seek(stored.place)  # This writes what is still in a buffer.
        ids.frombytes(self._file.read(stored.ids * ids.itemsize))
        logps.frombytes(self._file.read((stored.logps or 0) * logps.itemsize))
        return ids.tolist(), None if stored.logps is None else logps.tolist()

    def set_aside(self, sample: Mapping[str, Any]) -> Mapping[str, Any]:
        """Returns the columns of a sample without its tokens, and with their place."""
        ids = sample.get("token_ids")
        stored = None if ids is None else self.put(ids, sample.get("token_logps"))
        if stored is None:
            return sample
        return {**{n: v for n, v in sample.items() if n not in TOKENS}, STORED: stored}
