"""Pairs of a polite and a rude answer to a greeting."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import Field

from halo_core import DataError, DataInfo, DataSource, Loaded


class Greetings(DataSource):
    """Generated pairs that prefer a polite answer."""

    count: int = Field(default=8, ge=1, description="Number of pairs in each split.")

    def inspect(self) -> DataInfo:
        """Returns the kind, the splits and the digest."""
        return DataInfo("paired", ("train", "test"), f"greetings 1, {self.count} pairs")

    def load(self, split: str) -> Loaded:
        """Returns the pairs of a split.

        Raises:
            DataError: When there is no such split.
        """
        if split not in ("train", "test"):
            raise DataError(f"no split {split!r}; expected 'train' or 'test'")
        return Loaded(self._rows(split))

    def _rows(self, split: str) -> Iterator[dict[str, Any]]:
        for number in range(self.count):
            greeting = f"Hello from {split} guest {number}!"
            yield {
                "prompt": [{"role": "user", "content": greeting}],
                "chosen": f"Welcome, guest {number}. How can I help?",
                "rejected": "Go away.",
            }
