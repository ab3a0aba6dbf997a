"""A few rows of any kind of feedback, for tests of sources that wrap another one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import Field

from halo_core.data import DataInfo, DataSource, Loaded
from halo_core.errors import DataError
from halo_core.feedback import Feedback
from halo_core.testing.data.mixed_rows import LEFT_OUT

ANIMALS = ("cow", "sheep", "duck", "frog", "owl", "bee")


class GivenRows(DataSource):
    """A few rows of any kind of feedback, for tests of sources that wrap another one."""

    feedback: Feedback = Field(default="paired", description="The kind of the rows.")
    version: int = Field(default=1, ge=1, description="Version of the content, in the digest.")

    def inspect(self) -> DataInfo:
        """Returns the kind, two splits and a digest."""
        return DataInfo(self.feedback, ("train", "test"), f"given-{self.feedback}-{self.version}")

    def load(self, split: str) -> Loaded:
        """Returns the rows; three others are dropped and counted.

        Raises:
            DataError: When there is no such split.
        """
        if split not in ("train", "test"):
            raise DataError(f"no split {split!r}; there are train and test")
        dropped: dict[str, int] = {}
        return Loaded(self._rows(split, dropped), dropped)

    def _rows(self, split: str, dropped: dict[str, int]) -> Iterator[Mapping[str, Any]]:
        for number, animal in enumerate(ANIMALS):
            asked = f"What does a {animal} say, friend of the {split} set?"
            prompt = [{"role": "user", "content": asked}]
            row = {"id": f"{split}-{animal}", "prompt": prompt}
            yield row | _completions(self.feedback, animal, number)
            if self.feedback == "binary" and number % 3 == 0:  # Some prompts have both labels.
                again = {**row, "id": f"{split}-{animal}-again"}
                yield again | _completions(self.feedback, animal, number + 1)
        dropped[LEFT_OUT] = 3  # Counted at the end, as a generator may.


def _completions(feedback: Feedback, animal: str, number: int) -> dict[str, Any]:
    good, bad, middle = f"A {animal} is heard.", "I do not know.", f"It is a {animal}."
    columns: Mapping[Feedback, dict[str, Any]] = {
        "text": {"text": f"{good} {middle}"},
        "prompts": {},
        "demonstration": {"completion": good},
        "binary": {"completion": (good, bad)[number % 2], "desirable": number % 2 == 0},
        "paired": {"chosen": good, "rejected": bad},
        "scored": {"completions": [good, middle, bad], "scores": [4.0 + number, 3.0, 1.0]},
    }
    return columns[feedback]


__all__ = ["GivenRows"]
