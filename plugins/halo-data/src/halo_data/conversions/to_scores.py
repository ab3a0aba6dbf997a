"""A conversion that gives scored groups: a data source that wraps a source of pairs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pydantic import Field

from halo_core.completion import completion_in, scored_columns
from halo_core.data import DataInfo, DataSource, Loaded
from halo_data.conversions.distinct import Distinct
from halo_data.conversions.wrapping import converted, prompt_key, start_of, wrapped_info
from halo_data.rows.dropped import DUPLICATE, Dropped, Row

CHOSEN, REJECTED = 1.0, 0.0
"""Scores of the two completions of a pair."""


class PairedToScored(DataSource):
    """Each pair as a group of two: the chosen completion has the score 1, the rejected one 0."""

    source: DataSource = Field(description="The source of pairs.")

    def inspect(self) -> DataInfo:
        """Returns what the source says, as scored groups."""
        return wrapped_info(self.source, "paired-to-scored", ("paired",), "scored", "")

    def about_rows(self, split: str) -> int | None:
        """Returns what the source says: the number of duplicates is not known before."""
        return self.source.about_rows(split)

    def load(self, split: str) -> Loaded:
        """Returns a group per pair, in the pairs' order, and drops and counts duplicates."""
        return converted(self.source, split, ("paired",), _groups)


def _groups(pairs: Iterable[Row]) -> Iterator[Row | Dropped]:
    seen = Distinct()
    for pair in pairs:
        sides = completion_in(pair, "chosen"), completion_in(pair, "rejected")
        # Repetitions from a mixture are not duplicates, because they differ in `copy`.
        key = (prompt_key(pair), *(side.key for side in sides), pair.get("copy"))
        if not seen.add(key):
            yield DUPLICATE
            continue
        yield {**start_of(pair, "group"), **scored_columns(sides), "scores": [CHOSEN, REJECTED]}
