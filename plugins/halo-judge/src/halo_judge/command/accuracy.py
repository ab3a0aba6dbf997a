"""Agreement of judges with people, and of people with each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from math import isnan
from statistics import fmean
from typing import Any

from halo_core.feedback import prompt_id
from halo_core.workspace.records import VerdictLine
from halo_judge.command.compare_summary import position
from halo_judge.files.labelled import Choice, Labelled, Rated, majority_of
from halo_judge.judge_stage.duels import result_of
from halo_judge.judge_stage.verdict_numbers import completion_preference, paid_requests
from halo_statistics import (
    POINTS,
    PairedDifference,
    calibration,
    clustered_rate,
    cohen_kappa,
    krippendorff_alpha,
    paired_difference,
)

PAIRS = 10
"""Maximum number of annotator pairs with reported kappas. More add nothing beyond alpha."""


@dataclass(frozen=True)
class JudgedComparison:
    """A labelled comparison, and a judge's verdict on it.

    Attributes:
        id: Identifier that is unique among all files.
        labelled: The comparison with people's labels.
        line: The judge's verdict.
    """

    id: str
    labelled: Labelled
    line: VerdictLine

    @property
    def points(self) -> float | None:
        """Returns the points for agreement with the majority, as the mean over both orders.

        None without a majority or a verdict.
        """
        majority = self.labelled.majority
        if majority is None or self.line["result"] == "unscored":
            return None
        results = [result_of(o["winner"], o["order"]) for o in self.line["orders"]]
        if not results:  # Both texts are the same: a tie without asking the judge.
            return credit("tie", majority)
        return fmean(credit(result, majority) for result in results)


def credit(choice: Choice, majority: Choice) -> float:
    """Returns the points for a verdict: half a point for a tie if people prefer a text.

    So a judge that knows nothing gets one half if people prefer a text, whether it guesses, always
    prefers the first, or always says tie.

    >>> credit("win", "win"), credit("tie", "win"), credit("win", "tie")
    (1.0, 0.5, 0.0)
    """
    if choice == majority:
        return 1.0
    return 0.5 if choice == "tie" else 0.0


def evaluation(judged: Sequence[JudgedComparison], *, confidence: float) -> dict[str, Any]:
    """Returns the measurements of a judge on labelled comparisons, as `--json` prints them.

    ==============  ====================================================================
    `n`             comparisons
    `majority`      those in which more people said one thing than any other
    `unscored`      those without a verdict
    `accuracy`      share of points (see `credit`) on the majority, both orders averaged
    `position`      agreement between the orders, and favour for a place
    `kappa`         Cohen's, of the two orders' result and the majority
    `calibration`   for judges that report their certainty
    `calls` `cost`  paid requests and dollars
    ==============  ====================================================================

    The interval of `accuracy` takes into account which comparisons share a prompt.

    Args:
        judged: At least one judged comparison.
        confidence: Confidence level of the intervals, in (0, 1).
    """
    scored = [comparison for comparison in judged if comparison.line["result"] != "unscored"]
    right = [comparison for comparison in judged if comparison.points is not None]
    points = [comparison.points for comparison in right if comparison.points is not None]
    clusters = [
        prompt_id(comparison.line["prompt"], comparison.line.get("tools")) for comparison in right
    ]
    return {
        "n": len(judged),
        "majority": sum(comparison.labelled.majority is not None for comparison in judged),
        "unscored": len(judged) - len(scored),
        "accuracy": (
            asdict(clustered_rate(points, clusters, confidence=confidence)) if points else None
        ),
        "position": position([comparison.line for comparison in scored], confidence),
        "kappa": _kappa(right),
        "calibration": _calibration(right, confidence),
        **paid_requests([comparison.line for comparison in judged]),
    }


def against_floor(
    judged: Sequence[JudgedComparison], floor: Sequence[JudgedComparison], *, confidence: float
) -> PairedDifference | None:
    """Returns the difference between two judges' points on the same comparisons."""
    ours, theirs = (
        {comparison.id: comparison.points for comparison in side if comparison.points is not None}
        for side in (judged, floor)
    )
    if not ours.keys() & theirs.keys():
        return None
    return paired_difference(ours, theirs, confidence=confidence)


def beats(difference: PairedDifference, *, confidence: float) -> bool:
    """Returns whether the first is better, and significantly so by the paired test."""
    return difference.difference > 0 and difference.p < 1 - confidence


def _kappa(right: Sequence[JudgedComparison]) -> float | None:
    if not right:
        return None
    ruled = [comparison.line["result"] for comparison in right]
    kappa = cohen_kappa(ruled, [str(comparison.labelled.majority) for comparison in right])
    return None if isnan(kappa) else kappa


def _calibration(right: Sequence[JudgedComparison], confidence: float) -> dict[str, Any] | None:
    sure = [(_preference(comparison.line), comparison.labelled.majority) for comparison in right]
    known = [(p, POINTS[majority]) for p, majority in sure if p is not None and majority]
    if not known:
        return None
    preferences, outcomes = zip(*known, strict=True)
    return asdict(calibration(preferences, outcomes, confidence=confidence))


def _preference(line: VerdictLine) -> float | None:
    """Returns the judge's certainty for the first text over both orders; None if unknown."""
    orders = line["orders"]
    return (
        completion_preference(orders) if orders and all("preference" in o for o in orders) else None
    )


def human_agreement(comparisons: Sequence[Rated], *, confidence: float) -> dict[str, Any] | None:
    """Returns people's agreement, as `--json` prints it; None if nothing was labelled twice.

    ===========  =========================================================================
    `labels`     labels on comparisons that have at least two
    `accuracy`   each label against the majority of the others, in the points of a judge
    `alpha`      Krippendorff's, over all annotators
    `kappa`      Cohen's of each pair of annotators, if there are at most ten pairs
    ===========  =========================================================================

    Args:
        comparisons: All comparisons of a file.
        confidence: Confidence level of the interval, in (0, 1).
    """
    several = [one for one in comparisons if len(one.labels) > 1]
    if not several:
        return None
    points, clusters = [], []
    for comparison in several:
        for annotator, choice in comparison.labels.items():
            others = majority_of([c for who, c in comparison.labels.items() if who != annotator])
            if others is not None:
                points.append(credit(choice, others))
                clusters.append(comparison.prompt_id)
    annotators = list(dict.fromkeys(who for comparison in several for who in comparison.labels))
    ratings = [[comparison.labels.get(who) for comparison in several] for who in annotators]
    alpha = krippendorff_alpha(ratings)
    return {
        "annotators": len(annotators),
        "labels": sum(len(comparison.labels) for comparison in several),
        "accuracy": (
            asdict(clustered_rate(points, clusters, confidence=confidence)) if points else None
        ),
        "alpha": None if isnan(alpha) else alpha,
        "kappa": _kappas(dict(zip(annotators, ratings, strict=True))),
    }


def _kappas(ratings: dict[str, list[Choice | None]]) -> dict[str, float]:
    pairs = list(combinations(ratings, 2))
    kappas: dict[str, float] = {}
    for one, other in pairs if len(pairs) <= PAIRS else ():
        both = [
            (a, b)
            for a, b in zip(ratings[one], ratings[other], strict=True)
            if a is not None and b is not None
        ]
        kappa = cohen_kappa([a for a, _ in both], [b for _, b in both]) if both else float("nan")
        if not isnan(kappa):
            kappas[f"{one}, {other}"] = kappa
    return kappas
