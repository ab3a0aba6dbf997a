"""Lists whose items wait in a file, and tables of ids that take a few bytes for each id."""

from __future__ import annotations

from abc import abstractmethod
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from hashlib import blake2b
from typing import Any, TypeVar, overload

import numpy as np

from halo_core.errors import DataError

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


def check_same_prompt(id_: str, other: str) -> None:
    """Checks that two prompts with the same digest are the same prompt.

    Raises:
        DataError: When their ids differ.
    """
    if id_ != other:
        raise DataError(
            f"the prompt ids {id_!r} and {other!r} have the same digest; expected different ones. "
            "Give one of them another id"
        )


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
