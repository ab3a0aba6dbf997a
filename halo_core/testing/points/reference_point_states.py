"""Checks the state of a reference-point estimator, the order of a batch, and its options."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from halo_core.option_fields import values_by_alias
from halo_core.reference_point import (
    Candidate,
    Estimate,
    Observed,
    Pair,
    PairingPlan,
    RefPointEstimator,
)
from halo_core.testing.component import expect, must_not_raise
from halo_core.testing.options.option_effects import advise_unused, legal_variants
from halo_core.testing.options.option_refusals import or_refused
from halo_core.testing.options.option_texts import check_texts
from halo_core.testing.points.estimate_numbers import check_numbers

BATCH = 40
"""Completions of a batch of a usual size."""

STEPS = 1_100
"""Steps after which the state must have stopped to grow."""

MOST = 1_000
"""Numbers of a state, unless an option is a larger number."""

ALIKE = 3
"""First steps with the same log-ratios in two courses: a point may keep its first value."""

MOVES = 300
"""Steps in which log-ratios must change a point with other numbers as options."""

LARGE = (300.0, -300.0)
"""Factors of log-ratios that are as large as those of long completions."""

SAME = 1e-9
"""Relative and absolute tolerance for sums in another order."""


def check_state(estimator: RefPointEstimator) -> None:
    """Checks that the state does not grow with each step, and survives a step without pairs.

    Raises:
        AssertionError: When it grows beyond `MOST` numbers, or loses some.
    """
    state: Mapping[str, float] = {}
    observed = _observed(4, 0)
    window = max([MOST, *(each for each in values_by_alias(estimator).values() if _is_int(each))])
    for step in range(STEPS):
        estimate = _estimate(estimator, observed, state)
        check_numbers(estimator, f"step {step + 1}", estimate)
        state = estimate.state
        expect(
            len(state) <= window,
            estimator,
            f"the state of estimate() has {len(state):,} numbers and grows; expected a few, "
            "because each checkpoint stores them",
        )
        if len(state) == 0:
            break
    if estimator.observes == "own":
        return  # A batch always has completions of its own.
    kept = _estimate(estimator, Observed([], [], [], 4), state).state
    lost = [name for name in state if name not in kept]
    expect(
        not lost,
        estimator,
        f"a step that observes no pair loses {', '.join(map(repr, lost[:3]))} of the state; "
        "expected estimate() to give the state on",
    )


def check_order(estimator: RefPointEstimator) -> None:
    """Checks that the order of the pairs of a batch changes neither the point nor the state.

    Raises:
        AssertionError: When it does.
    """
    observed = _observed(BATCH, 1)
    order = random.Random(2).sample(range(BATCH), BATCH)
    moved = Observed(
        [observed.logratios[i] for i in order],
        [observed.lengths[i] for i in order],
        [observed.pairs[i] for i in order],
        observed.batch_size,
    )
    first = _estimate(estimator, observed, {})
    came, expected = (
        {"the point": each.value, **{f"state[{k!r}]": v for k, v in each.state.items()}}
        for each in (_estimate(estimator, moved, {}), first)
    )
    if first.state:
        came["the next point"] = _estimate(estimator, observed, came_state(came)).value
        expected["the next point"] = _estimate(estimator, observed, first.state).value
    for name, value in expected.items():
        other = came.get(name, math.nan)
        expect(
            math.isclose(value, other, rel_tol=SAME, abs_tol=SAME),
            estimator,
            f"with the same pairs in another order, estimate() gives {other!r} as {name}; expected "
            f"{value!r}. The order of a batch is chance",
        )


def came_state(came: Mapping[str, float]) -> Mapping[str, float]:
    """Returns the state in the numbers that `check_order` compares."""
    return {name[7:-2]: value for name, value in came.items() if name.startswith("state[")}


def check_other_options(estimator: RefPointEstimator) -> None:
    """Checks that the point is finite with other legal values of the options.

    It advises if an option changes nothing.

    Raises:
        AssertionError: When it is not, a call raises, or no log-ratio changes a point with a number
            that the bounds allow.
    """
    for variant in legal_variants(estimator):
        with or_refused():
            _check_finite_points(variant)
            _check_point_moves(estimator, variant)
    check_texts(estimator, points_of, "a call")
    advise_unused(estimator, points_of, "a pair, a point or a state that was tried")


def _check_finite_points(variant: RefPointEstimator) -> None:
    state: Mapping[str, float] = {}
    for seed in range(3):
        estimate = _estimate(variant, _observed(BATCH, seed), state)
        state = estimate.state
        numbers = [estimate.value, *estimate.state.values()]
        expect(
            all(math.isfinite(number) for number in numbers),
            variant,
            f"estimate() gives {estimate.value!r} and the state {dict(state)!r}; expected "
            "finite numbers with all values of options that the bounds allow",
        )


def _check_point_moves(estimator: RefPointEstimator, variant: RefPointEstimator) -> None:
    """Checks that a number at one of its bounds does not make all log-ratios useless."""
    if estimator.observes == "nothing" or not _is_at_bound(estimator, variant):
        return
    if _point_moves(estimator) and not _point_moves(variant):
        expect(
            False,
            variant,
            "the bounds allow these options, and with them no log-ratio changes a point; expected "
            "bounds without this value (gt= or lt=), because halo computes log-ratios for nothing",
        )


def _is_at_bound(estimator: RefPointEstimator, variant: RefPointEstimator) -> bool:
    """Returns whether the only other option of a variant is a number at one of its bounds."""
    usual, properties = (
        values_by_alias(estimator),
        type(estimator).model_json_schema()["properties"],
    )
    return all(
        isinstance(value, float)
        and value in (properties[name].get("minimum"), properties[name].get("maximum"))
        for name, value in values_by_alias(variant).items()
        if value != usual[name]
    )


def _point_moves(estimator: RefPointEstimator) -> bool:
    """Returns whether two courses of log-ratios, which begin alike, give other points."""
    states: list[Mapping[str, float]] = [{}, {}]
    for step in range(MOVES):
        points = []
        for course, shift in enumerate((0.5, 2.0 if step >= ALIKE else 0.5)):
            observed = _observed(BATCH, 0)
            moved = replace(observed, logratios=[shift + abs(each) for each in observed.logratios])
            estimate = _estimate(estimator, moved, states[course])
            states[course] = estimate.state
            points.append(estimate.value)
        if points[0] != points[1]:
            return True
    return False


def points_of(estimator: RefPointEstimator) -> str:
    """Returns what an estimator says and gives for a few steps."""
    said: list[object] = [estimator.observes, estimator.lagged, estimator.partners()]
    batch = [Candidate(f"prompt {i}", f"completion {i}") for i in range(BATCH)]
    following = [Candidate(f"later prompt {i}", f"later completion {i}") for i in range(BATCH)]
    fixed = [Candidate(f"far prompt {i}", f"far completion {i}") for i in range(BATCH)]
    plan = PairingPlan(batch, following, fixed if estimator.partners() == "fixed" else ())
    if estimator.observes == "mismatched":
        said += [list(estimator.pairs(plan, random.Random(seed))) for seed in range(2)]
    state: Mapping[str, float] = {}
    for seed in range(4):
        estimate = _estimate(estimator, _observed(BATCH, seed), state)
        state = estimate.state
        said += [estimate.value, sorted(state.items()), sorted(estimate.metrics.items())]
    if estimator.observes != "own":
        said.append(_estimate(estimator, Observed([], [], [], BATCH), state).value)
    for factor in LARGE:  # An option may be a limit that usual numbers do not reach.
        usual = _observed(BATCH, 0)
        far = replace(usual, logratios=[factor * (1 + abs(each)) for each in usual.logratios])
        said.append(_estimate(estimator, far, {}).value)
    return repr(said)


def _observed(count: int, seed: int) -> Observed:
    """Returns values of pairs of both signs, with some that are far from the others."""
    rng = random.Random(seed)
    logratios = [rng.gauss(0.5 - seed, 1.0) * (10.0 if i % 9 == 0 else 1.0) for i in range(count)]
    lengths = [rng.randint(1, 50) for _ in range(count)]
    return Observed(logratios, lengths, [Pair(i, i) for i in range(count)], count)


def _estimate(
    estimator: RefPointEstimator, observed: Observed, state: Mapping[str, float]
) -> Estimate:
    if estimator.observes == "nothing":
        observed = Observed([], [], [], observed.batch_size)
    with must_not_raise(estimator, "estimate()"):
        return estimator.estimate(observed, dict(state))


def _is_int(value: object) -> bool:
    return type(value) is int


STATE_CHECKS: Sequence[Callable[[RefPointEstimator], None]] = (
    check_state,
    check_order,
    check_other_options,
)
"""The checks of estimators that do not make their points within pairs."""
