"""Finds sequences in all segments of a store."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from halo_trainer.reference_store.segment import Segment

Prefixes = npt.NDArray[np.uint64]


class Index:
    """The places of all sequences. Each takes 64 bytes of memory, 44 of them in its segment.

    The first 8 bytes of all names are sorted. The whole name is compared in the segment itself.

    Attributes:
        segments: The segments by file name.
    """

    def __init__(self) -> None:
        self.segments: dict[str, Segment] = {}
        self._sort()

    def __len__(self) -> int:
        """Number of sequences. One that two processes wrote at the same time counts twice."""
        return len(self._prefixes)

    def add(self, *segments: Segment) -> None:
        """Adds segments."""
        self.segments.update({segment.path.name: segment for segment in segments})
        self._sort()

    def drop(self, segment: Segment) -> None:
        """Removes a segment."""
        del self.segments[segment.path.name]
        self._sort()

    def places(self, key: bytes) -> Iterator[tuple[Segment, int]]:
        """Yields each segment that has a sequence, and the sequence's row in it.

        Args:
            key: The name of the sequence [32 bytes].
        """
        prefix = np.frombuffer(key[:8], dtype="<u8")[0]
        place = int(np.searchsorted(self._prefixes, prefix))
        while place < len(self._prefixes) and self._prefixes[place] == prefix:
            segment, row = self._listed[self._numbers[place]], int(self._rows[place])
            if segment.keys[row].tobytes() == key:
                yield segment, row
            place += 1

    def _sort(self) -> None:
        self._listed = list(self.segments.values())
        sizes = [len(segment) for segment in self._listed]
        found = [_prefixes(segment) for segment in self._listed]
        prefixes = np.concatenate([np.zeros(0, np.uint64), *found])
        order = np.argsort(prefixes, kind="stable")
        self._prefixes: Prefixes = prefixes[order]
        self._numbers = np.repeat(np.arange(len(sizes), dtype=np.int32), sizes)[order]
        rows = np.concatenate([np.zeros(0, np.int64), *(np.arange(size) for size in sizes)])
        self._rows = rows[order]


def _prefixes(segment: Segment) -> Prefixes:
    prefixes: Prefixes = np.ascontiguousarray(segment.keys[:, :8]).view("<u8")[:, 0]
    return prefixes
