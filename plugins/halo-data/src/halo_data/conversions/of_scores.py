"""Conversions of scored groups: data sources that wrap another source."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise, product
from statistics import median
from typing import Literal

from pydantic import Field

from halo_core.completion import scored_completions
from halo_core.data import DataInfo, DataSource, Loaded
from halo_data.conversions.settled import settled
from halo_data.conversions.wrapping import converted, start_of, unique, wrapped_info
from halo_data.rows.dropped import EQUAL_SCORES, Dropped, Row
from halo_data.rows.pairs import pair

Pairs = Literal["all", "adjacent", "best-worst"]
GAP_TOO_SMALL = Dropped("gap below min_gap")
AT_THE_MEDIAN = Dropped("at the median")
ONE_COMPLETION = Dropped("one completion")


class ScoredToPaired(DataSource):
    """Pairs of a scored group's completions. The higher score is chosen; ties give no pair."""

    source: DataSource = Field(description="The source of scored groups.")
    pairs: Pairs = Field(
        default="all",
        description="all: every two completions with different scores; adjacent: each completion "
        "with those of the next lower score; best-worst: the first completion with the highest "
        "score and the first with the lowest.",
    )
    min_gap: float = Field(
        default=0.0, ge=0, description="Smallest difference of scores within a pair."
    )

    def inspect(self) -> DataInfo:
        """Returns what the source says, as pairs."""
        options = f"{self.pairs} {self.min_gap}"
        return wrapped_info(self.source, "scored-to-paired", ("scored",), "paired", options)

    def load(self, split: str) -> Loaded:
        """Returns the pairs of each group, best first, and counts groups without pairs."""
        return converted(self.source, split, ("scored",), self._paired)

    def _paired(self, groups: Iterable[Row]) -> Iterator[Row | Dropped]:
        for group in groups:
            scores = group["scores"]
            if (reason := _useless(scores)) is not None:
                yield reason
                continue
            for high, low in index_pairs(scores, self.pairs):
                if scores[high] - scores[low] < self.min_gap:
                    yield GAP_TOO_SMALL
                else:
                    yield _pair(group, high, low)


class ScoredToBinary(DataSource):
    """The completions of a scored group as rows, labelled by their scores."""

    source: DataSource = Field(description="The source of scored groups.")
    threshold: float | None = Field(
        default=None,
        description="Scores of at least this are desirable, lower scores are undesirable. If left "
        "out, the median of each group counts: scores above it are desirable, scores below it "
        "undesirable, and scores equal to it are dropped.",
    )

    def unchecked_rules(self) -> dict[str, str]:
        """Returns the rule of bounds: scores have no range of their own."""
        return {"option-bounds": "a score, and so the threshold, can be any number"}

    def inspect(self) -> DataInfo:
        """Returns what the source says, as binary feedback."""
        options = str(self.threshold)
        return wrapped_info(self.source, "scored-to-binary", ("scored",), "binary", options)

    def load(self, split: str) -> Loaded:
        """Returns the labelled completions, and drops and counts those with both labels."""
        return converted(self.source, split, ("scored",), self._labelled)

    def _labelled(self, groups: Iterable[Row]) -> Iterator[Row | Dropped]:
        outcomes = (outcome for group in groups for outcome in self._rows(group))
        # A completion may have different labels in two groups.
        yield from unique(settled(outcomes, "drop"))

    def _rows(self, group: Row) -> Iterator[Row | Dropped]:
        scores = group["scores"]
        by_median = self.threshold is None
        if by_median and (reason := _useless(scores)) is not None:
            yield reason
            return
        completions = scored_completions(group)
        middle = median(scores) if self.threshold is None else self.threshold
        for i, score in enumerate(scores):
            if by_median and score == middle:
                yield AT_THE_MEDIAN
            else:
                labelled = {**completions[i].columns("completion"), "desirable": score >= middle}
                yield {**start_of(group, str(i)), **labelled}


def index_pairs(scores: Sequence[float], pairs: Pairs) -> Iterator[tuple[int, int]]:
    """Yields (position of the higher score, position of the lower score), best first.

    Args:
        scores: The scores of one group.
        pairs: The pairs to make.

    >>> list(index_pairs([1.0, 3.0, 2.0, 2.0], "adjacent"))
    [(1, 2), (1, 3), (2, 0), (3, 0)]
    """
    levels = [
        [i for i, score in enumerate(scores) if score == level]
        for level in sorted(set(scores), reverse=True)
    ]
    if len(levels) < 2:
        return
    if pairs == "best-worst":
        yield levels[0][0], levels[-1][0]
    elif pairs == "adjacent":
        for higher, lower in pairwise(levels):
            yield from product(higher, lower)
    else:
        for position, higher in enumerate(levels):
            below = [i for level in levels[position + 1 :] for i in level]
            yield from product(higher, below)


def _useless(scores: Sequence[float]) -> Dropped | None:
    if len(scores) < 2:
        return ONE_COMPLETION
    return EQUAL_SCORES if len(set(scores)) == 1 else None


def _pair(group: Row, high: int, low: int) -> Row | Dropped:
    completions = scored_completions(group)
    made = pair(group["prompt"], completions[high], completions[low])
    if isinstance(made, Dropped):
        return made
    return {**start_of(group, f"{high}-{low}"), **made}
