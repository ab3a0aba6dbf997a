"""How far people agree with each other on the comparisons that they labelled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from itertools import combinations
from math import isnan
from typing import Any

from halo_judge.labelled_files import Choice, Rated, majority_of
from halo_judge.meta_evaluation import credit
from halo_statistics import clustered_rate, cohen_kappa, krippendorff_alpha

PAIRS = 10
"""Pairs of annotators whose kappas are told; more say nothing that alpha does not."""


def people(comparisons: Sequence[Rated], *, confidence: float) -> dict[str, Any] | None:
    """Returns the agreement of people, as `--json` has it; None where each was labelled once.

    ===========  =========================================================================
    `labels`     labels on comparisons that have at least two
    `accuracy`   each label against the majority of the others, in the points of a judge
    `alpha`      Krippendorff's, over all annotators
    `kappa`      Cohen's of each pair of annotators, where there are at most ten pairs
    ===========  =========================================================================

    Args:
        comparisons: All of a file.
        confidence: Of the interval, in (0, 1).
    """
    several = [each for each in comparisons if len(each.labels) > 1]
    if not several:
        return None
    points, clusters = [], []
    for each in several:
        for annotator, choice in each.labels.items():
            others = majority_of([c for who, c in each.labels.items() if who != annotator])
            if others is not None:
                points.append(credit(choice, others))
                clusters.append(each.prompt_id)
    annotators = list(dict.fromkeys(who for each in several for who in each.labels))
    ratings = [[each.labels.get(who) for each in several] for who in annotators]
    alpha = krippendorff_alpha(ratings)
    return {
        "annotators": len(annotators),
        "labels": sum(len(each.labels) for each in several),
        "accuracy": (
            asdict(clustered_rate(points, clusters, confidence=confidence)) if points else None
        ),
        "alpha": None if isnan(alpha) else alpha,
        "kappa": _kappas(dict(zip(annotators, ratings, strict=True))),
    }


def _kappas(ratings: dict[str, list[Choice | None]]) -> dict[str, float]:
    pairs = list(combinations(ratings, 2))
    found: dict[str, float] = {}
    for one, other in pairs if len(pairs) <= PAIRS else ():
        both = [
            (a, b)
            for a, b in zip(ratings[one], ratings[other], strict=True)
            if a is not None and b is not None
        ]
        kappa = cohen_kappa([a for a, _ in both], [b for _, b in both]) if both else float("nan")
        if not isnan(kappa):
            found[f"{one}, {other}"] = kappa
    return found
