"""Counts of the groups of scored feedback, for people."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping
from statistics import median
from typing import Any

from halo_core.completion import scored_completions


def describe_groups(rows: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Returns the sizes and the scores of groups, and how many groups teach nothing.

    Args:
        rows: At least one row of scored feedback.

    >>> row = {"completions": ["a", "b"], "scores": [1.0, 3.0]}
    >>> describe_groups([row])["scores"]
    {'lowest': 1.0, 'median': 2.0, 'highest': 3.0}
    """
    sizes, scores = array("Q"), array("d")
    alone = equal = with_logps = 0
    for row in rows:
        sizes.append(len(row["scores"]))
        scores.extend(row["scores"])
        alone += len(row["scores"]) < 2
        equal += len(row["scores"]) > 1 and len(set(row["scores"])) == 1
        with_logps += sum(said.token_logps is not None for said in scored_completions(row))
    return {
        "completions": len(scores),
        "smallest": min(sizes),
        "largest": max(sizes),
        "scores": {"lowest": min(scores), "median": median(scores), "highest": max(scores)},
        "one_completion": alone,
        "equal_scores": equal,
        "with_sampler_logps": with_logps,
    }


def group_lines(groups: Mapping[str, Any]) -> list[str]:
    """Returns the lines about groups that `halo data` prints.

    Args:
        groups: The result of `describe_groups`.
    """
    smallest, largest, scores = groups["smallest"], groups["largest"], groups["scores"]
    size = f"{smallest}" if smallest == largest else f"{smallest} to {largest}"
    lines = [
        f"groups of {size} completions, {groups['completions']} in all; scores from "
        f"{scores['lowest']:g} to {scores['highest']:g}, median {scores['median']:g}"
    ]
    if alone := groups["one_completion"]:
        lines.append(f"groups with one completion, which a training leaves out: {alone}")
    if equal := groups["equal_scores"]:
        lines.append(f"groups with equal scores for all completions: {equal}")
    if known := groups["with_sampler_logps"]:
        lines.append(f"completions with the sampler's log-probabilities: {known}")
    return lines
