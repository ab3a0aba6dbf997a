"""The whole of a comparison: entries, tests, what was unlike, what can be concluded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from halo_report.compare.circumstances import Circumstances, circumstances, unlike
from halo_report.compare.conclusion import conclusion
from halo_report.compare.entries import Entry, baseline_of, read_entries
from halo_report.compare.pairs import Pair, pair_tests
from halo_report.compare.spec_difference import Difference, spec_differences


@dataclass(frozen=True)
class Comparison:
    """What `halo compare` tells.

    Attributes:
        entries: The judged models.
        judged: How each of them was judged.
        baseline: What all are tested against; None where pairs are chosen otherwise.
        confidence: Of every interval.
        pairs: The tests.
        unlike: A sentence for each circumstance that is not the same for all.
        left_out: A sentence for each cell of a suite without verdicts.
        differences: Where the runs' resolved specs differ.
        conclusion: What can be concluded, and what cannot.
    """

    entries: Sequence[Entry]
    judged: Sequence[Circumstances]
    baseline: Entry | None
    confidence: float
    pairs: Sequence[Pair]
    unlike: Sequence[str]
    left_out: Sequence[str]
    differences: Sequence[Difference]
    conclusion: str


def compare_runs(
    names: Sequence[str],
    workspace: Path,
    *,
    judge_stage: str | None,
    baseline: str | None,
    confidence: float,
) -> Comparison:
    """Returns the comparison of runs.

    Args:
        names: Runs, suites and ``RUN:STAGE``, as the command is given them.
        workspace: Where names are looked for.
        judge_stage: The judge stage where a name has none; None for the last of each run.
        baseline: The run that all others are tested against; None for all pairs of a few.
        confidence: Of every interval, in (0, 1).

    Raises:
        PathError: When there is no such run or suite.
        UserError: When there are no two judged models, or the baseline is none of them.
    """
    found = read_entries(names, workspace, judge_stage, confidence)
    entries = found.entries
    against = baseline_of(baseline, entries, workspace) if baseline is not None else None
    pairs = pair_tests(entries, against, confidence)
    warnings = unlike(entries)
    return Comparison(
        entries=entries,
        judged=[circumstances(entry) for entry in entries],
        baseline=against,
        confidence=confidence,
        pairs=pairs,
        unlike=warnings,
        left_out=found.left_out,
        differences=spec_differences({entry.label: entry.run.resolved for entry in entries}),
        conclusion=conclusion(pairs, alike=not warnings),
    )
