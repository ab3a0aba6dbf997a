"""The tests between the entries: which pairs, by which test, with which interval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from halo_report.compare.judged_models import Entry
from halo_report.read.cell_matrix import Cell
from halo_report.read.pairwise import PairTest, compare, corrected
from halo_statistics import POINTS, paired_difference

FEW = 5
"""Entries up to which all pairs are tested; of more, each against the first."""
LEVEL = 0.05
"""The level at which a difference counts as shown, after Holm's correction."""


@dataclass(frozen=True)
class Pair:
    """Two entries and what is known of their difference.

    Attributes:
        first: The one whose win rate comes first in the difference.
        second: The other one.
        test: The test, corrected for all pairs together.
        difference: Win rate of the first less that of the second, failures left out: over the
            prompts that both have where these are paired, else over those of each.
        low: Lower end of the interval of the difference; None where prompts are not paired.
        high: Upper end.
    """

    first: Entry
    second: Entry
    test: PairTest
    difference: float
    low: float | None
    high: float | None

    @property
    def is_shown(self) -> bool:
        """Whether the difference is shown at the level, after the correction."""
        return self.test.p_holm < LEVEL


def pair_tests(entries: Sequence[Entry], baseline: Entry | None, confidence: float) -> list[Pair]:
    """Returns the pairs: all with the baseline, else all of a few, else all with the first.

    Args:
        entries: At least two.
        baseline: One of them, or None.
        confidence: Of the intervals of differences, in (0, 1).
    """
    judged = [entry for entry in entries if entry.cell.rate and entry.cell.rate.main]
    pairs = _pairs(judged, baseline)
    tests = corrected([compare(a.cell, b.cell, "left out") for a, b in pairs])
    found = [_difference(test, confidence) for test in tests]
    return [
        Pair(a, b, test, difference, low, high)
        for (a, b), test, (difference, low, high) in zip(pairs, tests, found, strict=True)
    ]


def _pairs(entries: Sequence[Entry], baseline: Entry | None) -> list[tuple[Entry, Entry]]:
    if len(entries) < 2 or (baseline is not None and baseline not in entries):
        return []
    if baseline is None and len(entries) <= FEW:
        return list(combinations(entries, 2))
    against = baseline or entries[0]
    return [(entry, against) for entry in entries if entry is not against]


def _difference(test: PairTest, confidence: float) -> tuple[float, float | None, float | None]:
    """Returns the difference with its bootstrap interval, over the prompts that both have."""
    if test.test != "mcnemar" or test.n == 0:
        return test.difference, None, None
    found = paired_difference(_points(test.a), _points(test.b), confidence=confidence)
    return found.difference, found.low, found.high


def _points(cell: Cell) -> dict[str, float]:
    return {id_: POINTS[result] for id_, result in cell.results.items() if result != "unscored"}
