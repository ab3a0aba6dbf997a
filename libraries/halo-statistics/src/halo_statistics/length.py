"""Length bias of judgements, and the win rate if both texts were equally long.

Does the longer text win? This is only an association: good writing may cause it, or bad judging.

The length-controlled win rate (halo) is halo's own variant of an idea of Dubois et al. (2024). Its
numbers are not theirs: their model also uses the difficulty of each instruction, from files that
are not public. The page on statistics compares the two.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from math import fsum, inf, sqrt
from typing import Any

from halo_statistics.intervals import (
    Proportion,
    check_confidence,
    check_points,
    normal_quantile,
    proportion,
)

RIDGE = 0.01
"""Weight of the penalty per comparison. A length coefficient of 1 costs 0.005 nats each.

The value is a round number, chosen by looking at 19 published models (see the page on statistics).
"""


@dataclass(frozen=True)
class LengthBias:
    """How points depend on lengths.

    Attributes:
        longer: Share of the points that go to the longer text, among comparisons of texts of
            different lengths. 0.5 if length does not matter. None without such comparisons.
        correlation: Spearman's rank correlation of a comparison's points with the completion's
            length minus the baseline's, in [-1, 1]. 0 if either never varies.
        n: Number of comparisons.
    """

    longer: Proportion | None
    correlation: float
    n: int


def length_bias(
    points: Sequence[float],
    lengths: Sequence[float],
    baseline_lengths: Sequence[float],
    *,
    confidence: float = 0.9,
) -> LengthBias:
    """Returns how strongly wins depend on length.

    `longer` also changes when one side is both better and longer. `correlation` compares the
    model's comparisons with each other, so it does not. Neither shows the cause: a longer answer
    may be longer because the question allowed a good one.

    Args:
        points: 1 for a win, 0.5 for a tie, 0 for a loss. Leave out unscored comparisons.
        lengths: Lengths of the completions, in any unit, at least 0.
        baseline_lengths: Lengths of the baseline texts, in the same unit.
        confidence: Coverage probability of the interval, in (0, 1).

    Raises:
        ValueError: When the lists are empty or differ in length, or a value is out of its range.

    >>> found = length_bias([1, 1, 0, 0.5], [30, 25, 10, 20], [20, 20, 20, 20])
    >>> found.longer.points, found.longer.trials, found.correlation > 0.9
    (3.0, 3, True)
    """
    import numpy as np
    from scipy.stats import spearmanr

    gaps = length_gaps(points, lengths, baseline_lengths)
    unequal = int(np.count_nonzero(gaps))
    # Summed one by one, as arrays of a million numbers would take more memory.
    to_longer = sum(p if gap > 0 else 1 - p for p, gap in zip(points, gaps, strict=True) if gap)
    varies = min(points) < max(points) and bool(np.ptp(gaps) > 0)
    return LengthBias(
        longer=proportion(float(to_longer), unequal, confidence=confidence) if unequal else None,
        correlation=float(spearmanr(points, gaps).statistic) if varies else 0.0,
        n=len(points),
    )


def length_gaps(
    points: Sequence[float], lengths: Sequence[float], baseline_lengths: Sequence[float]
) -> Any:
    """Returns how much longer each completion is than its baseline, as an array [comparisons].

    Raises:
        ValueError: When the lists are empty or differ in length, or a value is out of its range.
    """
    import numpy as np

    check_points(points)
    if not len(points) == len(lengths) == len(baseline_lengths):
        raise ValueError(
            "expected two lengths for each comparison: "
            f"{len(points)} points, {len(lengths)} lengths, {len(baseline_lengths)} of baselines"
        )
    for length in chain(lengths, baseline_lengths):
        if not 0 <= length < inf:
            raise ValueError(f"expected lengths of at least 0: {length!r}")
    gaps = np.array(lengths, dtype=float)
    gaps -= np.array(baseline_lengths, dtype=float)
    return gaps


@dataclass(frozen=True)
class LengthControlled:
    """A win rate at equal lengths.

    Attributes:
        rate: The length-controlled win rate (halo).
        low: Lower end of its interval.
        high: Upper end of its interval.
        raw: The win rate without length control: the mean of the points.
        coefficient: Change of the log-odds of a win per unit of the length term. Above 0 if longer
            completions win more.
        n: Number of comparisons.
    """

    rate: float
    low: float
    high: float
    raw: float
    coefficient: float
    n: int


def length_controlled_rate(
    points: Sequence[float],
    lengths: Sequence[float],
    baseline_lengths: Sequence[float],
    *,
    confidence: float = 0.9,
    ridge: float = RIDGE,
) -> LengthControlled:
    """Returns the length-controlled win rate (halo) of a model.

    With the length term ``t = tanh((length - baseline) / sd)``, where ``sd`` is the standard
    deviation of ``length - baseline`` (divided by n), the chance of a win is modelled as::

        P(win) = sigmoid(b + w t)

    b and w minimise ``mean(-x log P - (1 - x) log(1 - P)) + ridge w^2 / 2`` over the points x, with
    ties as one half (a fractional logit). The rate is ``sigmoid(b)``: the model at t = 0. Its
    interval is computed on the log-odds scale, ``b -+ z sd(b)``, with the sandwich variance of the
    penalised fit times ``n / (n - 2)``.

    The penalty keeps w finite if length separates wins from losses. It keeps w small if a model
    wins too rarely to show the effect of length; the rate is then nearer to the raw rate. b has no
    penalty, so with w = 0 the rate is the raw rate. The penalty is per comparison, so more data of
    the same kind change the interval but not the rate.

    If all length differences are the same, or all points are the same, the effect of length cannot
    be estimated. The rate is then the raw rate with its exact interval, and the coefficient is 0.

    The method extrapolates if a model is always longer (or always shorter), because few comparisons
    are then near equal lengths. It cannot tell whether a judge prefers length or long answers are
    better.

    Args:
        points: 1 for a win, 0.5 for a tie, 0 for a loss. Leave out unscored comparisons.
        lengths: Lengths of the completions, in any unit, at least 0.
        baseline_lengths: Lengths of the baseline texts, in the same unit.
        confidence: Coverage probability of the interval, in (0, 1).
        ridge: Weight of the penalty, above 0. Report any other value with the result, because it
            changes the number.

    Raises:
        ValueError: When the lists are empty or differ in length, or a value is out of its range.

    References:
        Dubois et al. 2024, "Length-controlled AlpacaEval: a simple way to debias automatic
        evaluators", section 3, whose length term this is; Papke and Wooldridge 1996, "Econometric
        methods for fractional response variables", for the fit and its variance.

    >>> found = length_controlled_rate([1, 1, 0, 1, 0, 0], [9, 8, 7, 6, 4, 5], [5] * 6)
    >>> found.raw, found.rate < found.raw, found.coefficient > 0
    (0.5, True, True)
    """
    import numpy as np

    check_confidence(confidence)
    if not 0 < ridge < inf:
        raise ValueError(f"expected a ridge above 0: {ridge}")
    gaps = length_gaps(points, lengths, baseline_lengths)
    scored, count = np.array(points, dtype=float), len(points)
    if np.ptp(gaps) == 0 or np.ptp(scored) == 0:
        plain = proportion(min(fsum(points), count), count, confidence=confidence)
        return LengthControlled(plain.rate, plain.low, plain.high, plain.rate, 0.0, count)
    terms = np.column_stack([np.ones(count), np.tanh(gaps / gaps.std())])
    del gaps
    weights = _fit(scored, terms, ridge)
    reach = normal_quantile(confidence) * _deviation(scored, terms, weights, ridge)
    low, rate, high = (_sigmoid(weights[0] + step) for step in (-reach, 0.0, reach))
    raw = fsum(points) / count
    return LengthControlled(float(rate), float(low), float(high), raw, float(weights[1]), count)


def _fit(scored: Any, terms: Any, ridge: float) -> Any:
    """Returns b and w, the unique minimum of the convex objective."""
    import numpy as np
    from scipy.optimize import minimize

    penalty = np.array([0.0, ridge])

    def objective(weights: Any) -> Any:
        logits = terms @ weights
        return (np.logaddexp(0, logits) - scored * logits).mean() + penalty @ weights**2 / 2

    def gradient(weights: Any) -> Any:
        return -_scores(scored, terms, weights).mean(axis=0) + penalty * weights

    def curvature(weights: Any) -> Any:
        return _curvature(terms, weights, ridge)

    options = {"gtol": 1e-10}
    start = np.zeros(2)
    return minimize(
        objective, start, jac=gradient, hess=curvature, method="trust-exact", options=options
    ).x


def _deviation(scored: Any, terms: Any, weights: Any, ridge: float) -> float:
    """Returns the standard deviation of b."""
    import numpy as np

    scores = _scores(scored, terms, weights)
    bread = np.linalg.inv(_curvature(terms, weights, ridge))
    variance = bread @ (scores.T @ scores) @ bread / len(scored) ** 2
    return sqrt(float(variance[0, 0]) * len(scored) / max(1, len(scored) - 2))


def _scores(scored: Any, terms: Any, weights: Any) -> Any:
    return terms * (scored - _sigmoid(terms @ weights))[:, None]


def _curvature(terms: Any, weights: Any, ridge: float) -> Any:
    import numpy as np

    chances = _sigmoid(terms @ weights)
    spread = (chances * (1 - chances))[:, None]
    return (terms * spread).T @ terms / len(terms) + np.diag([0.0, ridge])


def _sigmoid(logits: Any) -> Any:
    from scipy.special import expit

    return expit(logits)
