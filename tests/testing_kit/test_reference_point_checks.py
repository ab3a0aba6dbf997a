import random
import re
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import pytest

from halo_core import Candidate, Estimate, Observed, Pair, PairingPlan, RefPointEstimator
from halo_core.testing.points.reference_points import check_pairs_and_estimates

Pairs = Callable[[PairingPlan, random.Random], Any]
Estimator = Callable[[Observed, Any], Any]


def shifted(plan: PairingPlan, rng: random.Random) -> list[Pair]:
    """Each prompt with the next completion."""
    size = len(plan.batch)
    return [Pair(i, (i + 1) % size) for i in range(size)] if size > 1 else []


def running_mean(observed: Observed, state: Mapping[str, float]) -> Estimate:
    seen = state.get("seen", 0.0) + sum(observed.logratios)
    return Estimate(seen, {"seen": seen}, {"policy/kl": (seen, 1.0)})


def estimator(pairs: Pairs = shifted, estimate: Estimator = running_mean) -> RefPointEstimator:
    class Made(RefPointEstimator):
        observes: ClassVar = "mismatched"

        def pairs(self, plan: PairingPlan, rng: random.Random) -> Any:
            return made_pairs(plan, rng)

        def estimate(self, observed: Observed, state: Mapping[str, float]) -> Any:
            return made_estimate(observed, state)

    made_pairs, made_estimate = pairs, estimate
    return Made()


def add_in_place(observed: Observed, state: dict[str, float]) -> Estimate:
    state["seen"] = 1.0
    return Estimate(0.0, state)


def append_to_plan(plan: PairingPlan, rng: random.Random) -> list[Pair]:
    plan.batch.append(Candidate("p", "c"))
    return []


class Calls:
    """Counts estimates over the life of the process."""

    count = 0


def by_calls(observed: Observed, state: Mapping[str, float]) -> Estimate:
    Calls.count += 1
    return Estimate(float(Calls.count))


def test_a_good_estimator_passes() -> None:
    check_pairs_and_estimates(estimator())


def test_a_random_estimator_passes() -> None:
    def shuffled(plan: PairingPlan, rng: random.Random) -> list[Pair]:
        return [Pair(i, rng.randrange(len(plan.batch))) for i in range(len(plan.batch))]

    check_pairs_and_estimates(estimator(pairs=shuffled))


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        (lambda plan, rng: [Pair(0, 99)], "is not a Pair of positions from 0 to 8"),
        (lambda plan, rng: [Pair(-1, 0)], "is not a Pair of positions from 0 to 8"),
        (lambda plan, rng: [(0, 1)], "(0, 1) is not a Pair of positions"),
        (lambda plan, rng: [Pair(0, random.randrange(9))], "draw from `rng` only"),
        (append_to_plan, "pairs() changes the plan"),
        (lambda plan, rng: [Pair(1, 0)], "a batch of one at the end of an epoch: Pair(prompt=1"),
        (lambda plan, rng: 1 / 0, "pairs() for a batch of six raised ZeroDivisionError"),
    ],
)
def test_pairs_that_break_a_rule_are_named(pairs: Pairs, message: str) -> None:
    random.seed(3)
    with pytest.raises(AssertionError, match=re.escape(message)):
        check_pairs_and_estimates(estimator(pairs=pairs))


@pytest.mark.parametrize(
    ("estimate", "message"),
    [
        (lambda o, s: Estimate(float("nan")), "value is nan; expected a finite number"),
        (lambda o, s: Estimate(None), "value is None; expected a finite number"),
        (lambda o, s: Estimate(0.0, {"a": float("inf")}), "state['a'] is inf; expected a finite"),
        (lambda o, s: Estimate(0.0, {}, {"m": ("x", 1)}), "gave the sum of the metric 'm' as str"),
        (lambda o, s: 0.0, "returned 0.0; expected an Estimate"),
        (
            lambda o, s: Estimate(sum(o.logratios) / len(o.logratios)),
            "a batch of one, log-ratios around 0 raised ZeroDivisionError",
        ),
        (add_in_place, "estimate() changes the state it is given"),
        (by_calls, "the state through JSON gives Estimate(value=2.0"),
    ],
)
def test_estimates_that_break_a_rule_are_named(estimate: Estimator, message: str) -> None:
    Calls.count = 0
    with pytest.raises(AssertionError, match=re.escape(message)):
        check_pairs_and_estimates(estimator(estimate=estimate))


class Lagged(RefPointEstimator):
    """The sum of all earlier steps."""

    observes: ClassVar = "own"
    lagged: ClassVar = True

    def estimate(self, observed: Observed, state: Mapping[str, float]) -> Estimate:
        after = state.get("sum", 0.0) + sum(observed.logratios)
        return Estimate(self.point_from(state), {"sum": after})

    def point_from(self, state: Mapping[str, float]) -> float:
        return state.get("sum", 0.0)


class TooSoon(Lagged):
    """The sum of all steps, this one too."""

    def estimate(self, observed: Observed, state: Mapping[str, float]) -> Estimate:
        after = state.get("sum", 0.0) + sum(observed.logratios)
        return Estimate(after, {"sum": after})


def test_a_point_from_earlier_steps_must_not_depend_on_its_own() -> None:
    check_pairs_and_estimates(Lagged())
    message = "point_from() gives 0.0 before the step, and estimate()"
    with pytest.raises(AssertionError, match=re.escape(message)):
        check_pairs_and_estimates(TooSoon())
