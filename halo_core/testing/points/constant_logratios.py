"""Checks the course of points where all log-ratios are the same number, at every step."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from halo_core.reference_point import Estimate, Observed, Pair, RefPointEstimator
from halo_core.testing.advice import advise
from halo_core.testing.component import expect, must_not_raise
from halo_core.testing.options.option_effects import has_defaults

RATIO = 1.3
"""The log-ratio of all completions, in nats."""

COUNT = 24
"""Completions of a batch; enough that a trimmed mean leaves some out."""

STEPS = 12
"""Steps in which a point may move after it has reached the log-ratio."""

EMPTY = 3
"""Steps without pairs between two with equal log-ratios."""

LATER = 1_100
"""Steps after which a point that never moved is given up."""

OTHERS: Sequence[tuple[Sequence[int], str, str]] = (
    ((50,), "those of 50", "a log-ratio and a point are those of a whole completion, in nats"),
    (
        (5, 50),
        "some of 5 and some of 50",
        "an average of equal numbers is this number, so divide by the sum of the weights",
    ),
)
"""Lengths of completions in turn, with words for messages."""

MOST = 2.0
"""Largest point in multiples of the log-ratio. A KL estimate may be another function of it."""

SAME = 1e-9
"""Relative tolerance for numbers that may differ only by the order of sums."""


def check_constant(estimator: RefPointEstimator) -> None:
    """Checks the course of points where all log-ratios are the same number at each step.

    Any average of equal numbers is this number, whatever it leaves out or weighs.

    Raises:
        AssertionError: When the point is the log-ratio and then another number, is positive for
            log-ratios below 0, changes by steps without pairs, or depends on the lengths. With
            default options also when it is never above 0 for log-ratios above 0, or is far above
            them. With other options, the last two are advice.
    """
    if estimator.observes == "nothing":
        return
    course = list(_course(estimator, RATIO, 5))
    _check_stays(estimator, course)
    _check_lengths(estimator, course)
    _check_after_nothing(estimator)
    point = next((each for each in course if each), 0.0)
    below = next((each for each in _course(estimator, -RATIO, 5) if each), 0.0)
    expect(
        not (math.isclose(point, RATIO) and math.isclose(below, RATIO)),
        estimator,
        f"the point is {below:g} where all log-ratios are {-RATIO:g}, and also where all are "
        f"{RATIO:g}; expected at most 0 there. Are they absolute values?",
    )
    told = _size(estimator, course)
    expect(not told or not has_defaults(estimator), estimator, told)
    if told:
        advise(estimator, told)


def _check_stays(estimator: RefPointEstimator, course: Sequence[float]) -> None:
    reached = [step for step, point in enumerate(course) if math.isclose(point, RATIO)]
    for step in range(reached[0], len(course)) if reached else ():
        expect(
            math.isclose(course[step], RATIO, rel_tol=SAME),
            estimator,
            f"all log-ratios are {RATIO:g} at each step, and the point is {RATIO:g} at step "
            f"{reached[0] + 1} and {course[step]:g} at step {step + 1}; expected an average of "
            "equal numbers to stay. Does the state have the number that the next step expects?",
        )


def _check_after_nothing(estimator: RefPointEstimator) -> None:
    """Checks that steps that observe no pair do not count."""
    if estimator.observes == "own":
        return  # A batch always has completions of its own.
    state: Mapping[str, float] = {}
    for _ in range(STEPS):
        estimate = _estimate(estimator, _equal(RATIO, 5), state)
        state = estimate.state
        if math.isclose(estimate.value, RATIO):
            break
    else:
        return
    for _ in range(EMPTY):
        state = _estimate(estimator, Observed([], [], [], COUNT), state).state
    point = _estimate(estimator, _equal(RATIO, 5), state).value
    expect(
        math.isclose(point, RATIO, rel_tol=SAME),
        estimator,
        f"all log-ratios are {RATIO:g} and the point is {RATIO:g}, and after {EMPTY} steps that "
        f"observe no pair it is {point:g}; expected such steps not to count: give the state on as "
        "it is",
    )


def _check_lengths(estimator: RefPointEstimator, course: Sequence[float]) -> None:
    for lengths, what, why in OTHERS:
        others = _course(estimator, RATIO, *lengths)
        for step, (point, other) in enumerate(zip(course, others, strict=False), start=1):
            expect(
                math.isclose(point, other, rel_tol=SAME, abs_tol=SAME),
                estimator,
                f"all log-ratios are {RATIO:g} at each step, and the point at step {step} is "
                f"{point:g} with completions of 5 tokens and {other:g} with {what}; expected the "
                f"same: {why}",
            )


def _size(estimator: RefPointEstimator, course: Sequence[float]) -> str:
    """Returns what is wrong with the size of the points; "" if nothing is."""
    far = next((point for point in course if point > MOST * RATIO), None)
    if far is not None:
        return (
            f"the point is {far:g} where all log-ratios are {RATIO:g}; expected at most about as "
            "much. Is it a sum, or a percentage?"
        )
    if not any(point > 0 for point in course):
        return (
            f"the point is never above 0 where all log-ratios are {RATIO:g}, in "
            f"{len(course):,} steps. Is a limit on the wrong side, as min in place of max?"
        )
    return ""


def _course(estimator: RefPointEstimator, ratio: float, *lengths: int) -> Iterator[float]:
    """Yields the points of steps with equal log-ratios, until they have moved."""
    observed = _equal(ratio, *lengths)
    state: Mapping[str, float] = {}
    moved = 0
    for _ in range(LATER):
        estimate = _estimate(estimator, observed, state)
        yield float(estimate.value)
        moved += bool(moved or estimate.value)
        if moved > STEPS or (not estimate.state and not state):
            return
        state = estimate.state


def _equal(ratio: float, *lengths: int) -> Observed:
    """Returns a batch of equal log-ratios, with the lengths in turn."""
    pairs = [Pair(i, i) for i in range(COUNT)]
    return Observed(
        [ratio] * COUNT, [lengths[i % len(lengths)] for i in range(COUNT)], pairs, COUNT
    )


def _estimate(
    estimator: RefPointEstimator, observed: Observed, state: Mapping[str, float]
) -> Estimate:
    with must_not_raise(estimator, "estimate()"):
        return estimator.estimate(observed, dict(state))


__all__ = ["check_constant"]
