"""Many keys in little memory: 64-bit hashes in arrays, compared all at once by pyarrow.

A Python set takes more than 60 bytes per number. These arrays take 8, and the hash table of
pyarrow another 30 to 60 for a moment while they are compared.
"""

from __future__ import annotations

from array import array
from collections.abc import Hashable, Iterable
from typing import Any


class Keys:
    """Keys in the order in which they were added. Equal keys have equal hashes.

    Two different keys have the same hash with a probability of 2^-64. Hashes of texts differ from
    process to process, so they are never stored.
    """

    def __init__(self, keys: Iterable[Hashable] = ()) -> None:
        self._hashes = array("q", map(hash, keys))

    def __len__(self) -> int:
        return len(self._hashes)

    def __add__(self, other: Keys) -> Keys:
        both = Keys()
        both._hashes.extend(self._hashes)
        both._hashes.extend(other._hashes)
        return both

    def add(self, key: Hashable) -> None:
        """Adds a key."""
        self._hashes.append(hash(key))

    def are_in(self, others: Keys) -> array[int]:
        """Returns 1 for each key that is among others, and else 0, in order."""
        import pyarrow.compute as pc

        found = pc.is_in(self._values(), value_set=others._values()).cast("int8")
        # Not through a list, which takes 8 bytes per key.
        values = memoryview(found.buffers()[1])[found.offset : found.offset + len(found)]
        return array("b", values.tobytes())

    def distinct(self, chosen: array[int] | None = None) -> int:
        """Returns the number of different keys.

        Args:
            chosen: 1 for each key that counts, and else 0; None if all count.
        """
        import pyarrow.compute as pc

        values = self._values()
        if chosen is not None:
            values = values.filter(_of_bytes(chosen).cast("bool"))
        return int(pc.count_distinct(values).as_py())

    def chosen(self, which: array[int]) -> Keys:
        """Returns those keys for which an array has 1 and not 0."""
        keys = Keys()
        keys._hashes.extend(
            h for h, is_chosen in zip(self._hashes, which, strict=True) if is_chosen
        )
        return keys

    def _values(self) -> Any:
        import pyarrow as pa

        # The array and pyarrow share the memory; nothing is copied.
        buffers = [None, pa.py_buffer(self._hashes)]
        return pa.Array.from_buffers(pa.int64(), len(self._hashes), buffers)


def _of_bytes(values: array[int]) -> Any:
    import pyarrow as pa

    return pa.Array.from_buffers(pa.int8(), len(values), [None, pa.py_buffer(values)])
