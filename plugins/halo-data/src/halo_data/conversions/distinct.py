"""Numbers distinct keys in little memory: their digests in one array, and a hash table in another.

A Python set of texts takes the texts and about 100 bytes each. Here a key takes about 30 bytes,
however long it is.
"""

from __future__ import annotations

from array import array
from collections.abc import Hashable
from hashlib import blake2b

_DIGEST = 16
"""Bytes of a digest. Two of a billion different keys have the same one with a probability of
10^-21."""

_FIRST_SIZE = 64


class Distinct:
    """Distinct keys, numbered from 0 in the order in which they came.

    Keys are values such as texts or tuples of texts, whose `repr` tells them apart.
    """

    def __init__(self) -> None:
        self._digests = bytearray()
        # An open hash table: a slot is 0, or a number + 1. A full slot sends to the next one.
        self._slots = _empty(_FIRST_SIZE)
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def number(self, key: Hashable) -> int:
        """Returns the number of a key, which is added if it is new."""
        digest = _digest(key)
        slot = self._slot(digest)
        if taken := self._slots[slot]:
            return taken - 1
        self._slots[slot] = self._count + 1
        self._digests += digest
        self._count += 1
        if 3 * self._count > 2 * len(self._slots):
            self._grow()
        return self._count - 1

    def add(self, key: Hashable) -> bool:
        """Adds a key, and returns whether it is new."""
        before = self._count
        return self.number(key) == before

    def __contains__(self, key: Hashable) -> bool:
        return self._slots[self._slot(_digest(key))] > 0

    def _slot(self, digest: bytes | bytearray) -> int:
        """Returns the slot of a digest, or the empty one where it belongs."""
        slots, digests = self._slots, self._digests
        last = len(slots) - 1  # The size is a power of two.
        slot = int.from_bytes(digest[:8], "little") & last
        while taken := slots[slot]:
            end = taken * _DIGEST
            if digests[end - _DIGEST : end] == digest:
                break
            slot = (slot + 1) & last
        return slot

    def _grow(self) -> None:
        self._slots = _empty(2 * len(self._slots))
        for number in range(self._count):
            start = number * _DIGEST
            self._slots[self._slot(self._digests[start : start + _DIGEST])] = number + 1


def _digest(key: Hashable) -> bytes:
    return blake2b(repr(key).encode(), digest_size=_DIGEST).digest()


def _empty(slots: int) -> array[int]:
    return array("I", bytes(slots * array("I").itemsize))
