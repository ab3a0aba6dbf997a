"""Remembers what was made of the last texts, up to a number of characters in all."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from threading import Lock
from typing import Generic, TypeVar

T = TypeVar("T")


class Remembered(Generic[T]):
    """A function of a text that remembers its last values. Nobody may change a value.

    An error is not remembered, and neither is the value of a text that is longer than all texts
    may be together.

    Args:
        make: Makes a value of a text.
        characters: Largest number of characters of the remembered texts in all. A value may take
            many times as much memory as its text.
    """

    def __init__(self, make: Callable[[str], T], characters: int) -> None:
        self._make = make
        self._most = characters
        self._values: OrderedDict[str, T] = OrderedDict()
        self._lock = Lock()
        self.characters = 0

    def __call__(self, text: str) -> T:
        """Returns the value of a text."""
        with self._lock:
            if text in self._values:
                self._values.move_to_end(text)
                return self._values[text]
        value = self._make(text)
        if len(text) <= self._most:
            with self._lock:
                self._add(text, value)
        return value

    def _add(self, text: str, value: T) -> None:
        if text not in self._values:
            self.characters += len(text)
        self._values[text] = value
        while self.characters > self._most:
            oldest, _ = self._values.popitem(last=False)
            self.characters -= len(oldest)
