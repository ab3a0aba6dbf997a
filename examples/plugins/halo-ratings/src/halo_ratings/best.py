"""A conversion: the best answer of each scored group, as a demonstration."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from pydantic import Field

from halo_core import DataError, DataInfo, DataSource, Loaded

READ = ("prompt", "completions", "scores")
CARRIED = ("id", "group")
"""Columns that a demonstration gets as they are. All others are counted as not read."""


class Best(DataSource):
    """The answer with the highest score in each group, as a demonstration. The first wins a tie."""

    source: DataSource = Field(description="The source of scored groups")
    at_least: float | None = Field(
        default=None, description="Lowest score of a demonstration; any score by default"
    )

    def unchecked_rules(self) -> dict[str, str]:
        """Returns the rule of bounds: scores have no range of their own."""
        return {"option-bounds": "a score, and so the lowest one, can be any number"}

    def inspect(self) -> DataInfo:
        """Returns what the source says, as demonstrations.

        Raises:
            DataError: When the source has another kind of feedback.
        """
        info = self.source.inspect()
        if info.feedback not in ("scored", None):
            raise DataError(f"the source has {info.feedback} feedback; expected scored feedback")
        digest = info.digest and f"best 1, at least {self.at_least}, of {info.digest}"
        return DataInfo("demonstration", info.splits, digest, info.passed_over, info.read_as)

    def load(self, split: str) -> Loaded:
        """Returns the demonstrations, and counts the groups without one.

        Raises:
            DataError: When the source cannot load the split.
        """
        dropped: Counter[str] = Counter()
        ignored: Counter[str] = Counter()
        inner = self.source.load(split)
        return Loaded(self._rows(inner, dropped, ignored), dropped, ignored)

    def _rows(
        self, inner: Loaded, dropped: Counter[str], ignored: Counter[str]
    ) -> Iterator[dict[str, Any]]:
        for row in inner.rows:
            ignored.update(name for name in row if name not in (*READ, *CARRIED))
            scores = row["scores"]
            best = max(range(len(scores)), key=scores.__getitem__, default=None)
            if best is None:
                dropped["no answer"] += 1
            elif self.at_least is not None and scores[best] < self.at_least:
                dropped["best score below at_least"] += 1
            elif not row["completions"][best].strip():
                dropped["best answer without a text"] += 1  # It may only call a tool.
            else:
                carried = {name: row[name] for name in CARRIED if name in row}
                yield {**carried, "prompt": row["prompt"], "completion": row["completions"][best]}
        # The wrapped source may count until its last row.
        dropped.update(inner.dropped)
        ignored.update(inner.ignored)
