"""Tests of every pair of columns in the same series of a matrix, corrected for their number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any, Literal

from halo_report.read.cell_matrix import CellMatrix, Failures, JudgedCell, share_of
from halo_statistics.significance import fisher_exact, holm, mcnemar_exact, paired_counts

Test = Literal["fisher", "mcnemar"]

SHARED = 0.5
"""Smallest share of the smaller set of prompts that two cells must have in common to be paired."""


@dataclass(frozen=True)
class PairTest:
    """A test of whether two cells differ.

    Attributes:
        a: The first cell.
        b: The second cell.
        test: McNemar's test if both were judged on the same prompts, else Fisher's test.
        difference: Win rate of `a` minus win rate of `b`.
        n: Number of comparisons in the test: the shared prompts, or those of both together.
        p: Two-sided p-value, with failures counted as in the figure.
        p_holm: The p-value after Holm's correction for all tests of the figure.
        p_other: The p-value with failures counted the other way.
    """

    a: JudgedCell
    b: JudgedCell
    test: Test
    difference: float
    n: int
    p: float
    p_holm: float
    p_other: float


def pairwise_tests(matrix: CellMatrix) -> list[PairTest]:
    """Returns the tests of all pairs of judged columns within each series, as one family."""
    pairs: list[tuple[JudgedCell, JudgedCell]] = []
    for series in matrix.series:
        judged = [c for c in matrix.ordered() if c.series == series and matrix.share(c)]
        pairs += combinations(judged, 2)
    return with_holm([pair_test(a, b, matrix.failures) for a, b in pairs])


def with_holm(tests: Sequence[PairTest]) -> list[PairTest]:
    """Returns the tests with `p_holm` computed for all of them as one family."""
    family = holm([test.p for test in tests])
    return [replace(test, p_holm=p) for test, p in zip(tests, family, strict=True)]


def pair_test(a: JudgedCell, b: JudgedCell, failures: Failures) -> PairTest:
    """Returns the test of two judged cells, as a family of one.

    Args:
        a: A cell with a win rate.
        b: Another cell with a win rate.
        failures: Whether comparisons without a verdict are losses or left out.
    """
    first, second = share_of(a, failures), share_of(b, failures)
    assert first is not None
    assert second is not None
    # On the same prompts, luck with the prompts cancels out. Fisher's test cannot use that.
    test: Test = "mcnemar" if share_prompts(a, b) else "fisher"
    p, n = _p_value(a, b, test, failures)
    other, _ = _p_value(a, b, test, "left out" if failures == "lost" else "lost")
    return PairTest(a, b, test, first.rate - second.rate, n, p, p, other)


def share_prompts(a: JudgedCell, b: JudgedCell) -> bool:
    """Returns whether two cells share enough prompts to be paired."""
    shared = len(a.results.keys() & b.results.keys())
    return shared > 0 and shared >= SHARED * min(len(a.results), len(b.results))


def _p_value(a: JudgedCell, b: JudgedCell, test: Test, failures: Failures) -> tuple[float, int]:
    """Returns the p-value and the number of comparisons in the test."""
    if test == "mcnemar":
        lost = failures == "lost"
        more, less, shared = paired_counts(a.results, b.results, failures_lost=lost)
        return mcnemar_exact(more, less), shared
    assert a.rate is not None
    assert b.rate is not None
    trials = tuple(r.total if failures == "lost" else r.scored for r in (a.rate, b.rate))
    # Fisher's test needs whole counts, so a tie is not a win.
    return fisher_exact((a.rate.wins, b.rate.wins), (trials[0], trials[1])), sum(trials)


def pair_fields(test: PairTest) -> dict[str, Any]:
    """Returns a test as `--json` prints it. The columns name the two cells."""
    return {
        "a": test.a.x,
        "b": test.b.x,
        "test": test.test,
        "n": test.n,
        "difference": test.difference,
        "p": test.p,
        "p_holm": test.p_holm,
        "p_failures_other_way": test.p_other,
    }
