"""A conversion of scored completions into demonstrations."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from pydantic import Field

from halo_core import DataError, DataInfo, DataSource, Loaded

BESIDE = {
    "completions_fields": "completion_fields",
    "completions_token_ids": "completion_token_ids",
    "completions_token_logps": "completion_token_logps",
    "completions_sampling": "completion_sampling",
    "finishes": "finish",
}
"""The columns with a value for each completion, and their names for a single completion."""


class OakConversion(DataSource):
    """The completion with the highest score of each prompt, as a demonstration.

    A prompt is dropped and counted if its best completion is not far enough ahead.
    """

    source: DataSource = Field(description="Source of scored completions.")
    lead: float = Field(
        default=0.0, ge=0, description="Smallest lead of the best score. Equal scores never lead."
    )

    def inspect(self) -> DataInfo:
        """Returns what the source says, as demonstrations.

        Raises:
            DataError: When the source has another kind of feedback.
        """
        info = self.source.inspect()
        if info.feedback not in (None, "scored"):
            raise DataError(f"the source has {info.feedback} feedback; expected scored feedback")
        digest = None if info.digest is None else f"best, lead {self.lead}: {info.digest}"
        return replace(info, feedback="demonstration", digest=digest)

    def load(self, split: str) -> Loaded:
        """Returns one row per prompt, with the drops of the source and its own."""
        inner = self.source.load(split)
        dropped: Counter[str] = Counter()
        ignored: Counter[str] = Counter()

        def rows() -> Iterator[Mapping[str, Any]]:
            for group in inner.rows:
                if (best := self._best(group["scores"])) is None:
                    dropped["no completion leads by enough"] += 1
                else:
                    yield _demonstration(group, best)
            # The source knows these numbers only when all of its rows were read.
            dropped.update(inner.dropped)
            ignored.update(inner.ignored)

        return Loaded(rows(), dropped, ignored)

    def _best(self, scores: list[float]) -> int | None:
        """Returns the position of the best score; None if it does not lead by enough."""
        first, *others = sorted(scores, reverse=True)
        if others and (first == others[0] or first - others[0] < self.lead):
            return None
        return scores.index(first)


def _demonstration(group: Mapping[str, Any], best: int) -> dict[str, Any]:
    taken = ("completions", "scores", *BESIDE)
    row = {name: value for name, value in group.items() if name not in taken}
    beside = {one: group[many][best] for many, one in BESIDE.items() if group.get(many)}
    return {**row, "completion": group["completions"][best], **beside}
