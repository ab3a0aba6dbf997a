"""Lists whose items wait in a file, and tables of ids that take 8 bytes of memory for each id."""

from __future__ import annotations

from abc import abstractmethod
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from hashlib import blake2b
from typing import Any, TypeVar, overload

import numpy as np

T = TypeVar("T")
Numbers = np.ndarray[Any, Any]
"""An array of whole numbers."""

WHY = "Prompts and completions wait there until the judge has answered"
"""The reason for temporary files, for the message if their disk fails."""


class OnDisk(Sequence[T]):
    """A list whose items are read, or made, when they are needed. It holds none of them."""

    @abstractmethod
    def at(self, number: int) -> T:
        """Returns an item from its number, from 0."""

    @overload
    def __getitem__(self, index: int) -> T: ...

    @overload
    def __getitem__(self, index: slice) -> list[T]: ...

    def __getitem__(self, index: int | slice) -> T | list[T]:
        if isinstance(index, slice):
            return [self.at(number) for number in range(*index.indices(len(self)))]
        number = index + len(self) if index < 0 else index
        if not 0 <= number < len(self):
            raise IndexError(index)
        return self.at(number)

    def __iter__(self) -> Iterator[T]:
        return map(self.at, range(len(self)))


class Numbered:
    """Finds the numbers of items by their ids, which are different.

    An id takes 16 bytes of memory: the first 64 bits of its digest, and its place in their order.

    Args:
        ids: The ids of the items, in their order.
        id_of: Returns the id of an item from its number. It tells two ids with the same 64 bits
            apart.
    """

    def __init__(self, ids: Iterable[str], id_of: Callable[[int], str]) -> None:
        digests = digests_of(ids)
        self._order = np.argsort(digests, kind="stable")
        self._digests = digests[self._order]
        self._id_of = id_of

    def get(self, id_: str) -> int | None:
        """Returns the number of the item with this id; None if there is none."""
        numbers = (int(self._order[place]) for place in places_of(self._digests, id_))
        return next((number for number in numbers if self._id_of(number) == id_), None)


class DigestSet:
    """A set of digests, which takes 12 to 24 bytes of memory for each of them.

    >>> found = DigestSet()
    >>> found.add(7), found.add(0), found.add(7), found.add(0)
    (True, True, False, False)
    """

    def __init__(self) -> None:
        # An open hash table. An empty slot is 0, and a full one sends to the next.
        self._slots = array("Q", bytes(8 * 64))
        self._count = 0
        self._has_zero = False

    def add(self, digest: int) -> bool:
        """Adds a digest, and returns whether it is new."""
        if digest == 0:
            is_new, self._has_zero = not self._has_zero, True
            return is_new
        slot = self._slot(digest)
        if self._slots[slot]:
            return False
        self._slots[slot] = digest
        self._count += 1
        if 3 * self._count > 2 * len(self._slots):
            before, self._slots = self._slots, array("Q", bytes(16 * len(self._slots)))
            for each in filter(None, before):
                self._slots[self._slot(each)] = each
        return True

    def _slot(self, digest: int) -> int:
        slots, last = self._slots, len(self._slots) - 1  # The size is a power of two.
        slot = digest & last
        while slots[slot] not in (0, digest):
            slot = (slot + 1) & last
        return slot


def places_of(digests: Numbers, id_: str) -> range:
    """Returns the places of an id's digest in an array of sorted ones."""
    wanted = np.uint64(digest_of(id_))
    return range(
        int(np.searchsorted(digests, wanted, "left")),
        int(np.searchsorted(digests, wanted, "right")),
    )


def digest_of(id_: str) -> int:
    """Returns a number of 64 bits that is made of an id.

    Two of a million different ids have the same ones with a probability of 3e-8.
    """
    content = id_.encode("utf-8", "surrogatepass")
    return int.from_bytes(blake2b(content, digest_size=8).digest(), "little")


def digests_of(ids: Iterable[str]) -> Numbers:
    """Returns the digest of each id [ids], as unsigned whole numbers of 64 bits."""
    return as_numbers(array("Q", map(digest_of, ids)))


def as_numbers(values: array[Any]) -> Numbers:
    """Returns an array of Python as one of NumPy, with the same memory."""
    return np.frombuffer(values, values.typecode) if values else np.empty(0, values.typecode)


def firsts(digests: Numbers) -> Numbers:
    """Returns the places of the first of equal digests, in their order.

    >>> firsts(np.array([7, 3, 7, 5, 3], dtype=np.uint64)).tolist()
    [0, 1, 3]
    """
    order = np.argsort(digests, kind="stable")
    inner = np.ones(len(order), dtype=bool)
    in_order = digests[order]
    np.not_equal(in_order[1:], in_order[:-1], out=inner[1:])
    del in_order
    return np.sort(order[inner])
