"""Checks that a point and its state have all digits, so that small log-ratios are not lost."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

from halo_core.reference_point import Observed, Pair, RefPointEstimator
from halo_core.testing.advice import advise
from halo_core.testing.component import expect, must_not_raise

BATCH = 13
"""Completions of a batch. A share of them has no end as a decimal number."""

STEPS = 20
"""Steps of a course."""

DIGITS = 6
"""Digits after the point from which a rounded number loses nothing that matters."""

TINY = 1e-9
"""A factor of log-ratios, with which a rounded number is 0."""


def check_rounded(estimator: RefPointEstimator) -> None:
    """Checks that no number of the state is rounded. It advises on points that are rounded.

    A number may have few digits for another reason: a count, or a fixed step. So it is rounded only
    if very small log-ratios, too, leave it where log-ratios of 0 leave it.

    Raises:
        AssertionError: When a number of the state is rounded.
    """
    if estimator.observes == "nothing":
        return
    usual, tiny, zero = (_course(estimator, scale) for scale in (1.0, TINY, 0.0))
    for name, numbers in usual.items():
        fractions = {number for number in numbers if number != int(number)}
        if len(fractions) < STEPS // 2 or any(round(n, DIGITS) != n for n in fractions):
            continue
        if tiny.get(name) != zero.get(name):
            continue
        told = (
            f"{name} is rounded: it is {', '.join(f'{n!r}' for n in numbers[:3])} at the first "
            "steps, and small log-ratios do not change it; expected all digits, because log-ratios "
            "are small when a training begins"
        )
        expect(name == POINT, estimator, told)
        advise(estimator, told)


POINT = "the point"


def _course(estimator: RefPointEstimator, scale: float) -> Mapping[str, Sequence[float]]:
    """Returns the numbers of each step: the point, and those of the state."""
    rng = random.Random(3)
    found: dict[str, list[float]] = {}
    state: Mapping[str, float] = {}
    for _ in range(STEPS):
        logratios = [scale * rng.uniform(0.5, 2.5) for _ in range(BATCH)]
        pairs = [Pair(i, i) for i in range(BATCH)]
        with must_not_raise(estimator, "estimate()"):
            estimate = estimator.estimate(
                Observed(logratios, [3] * BATCH, pairs, BATCH), dict(state)
            )
        state = estimate.state
        found.setdefault(POINT, []).append(float(estimate.value))
        for name, number in state.items():
            found.setdefault(f"state[{name!r}]", []).append(float(number))
    return found


__all__ = ["check_rounded"]
