"""The kit sees rounded numbers, empty steps, wrong later steps, and changes that are undone."""

import random
import re
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import pytest

from halo_core import Estimate, Observed, Pair, PairingPlan, RefPointEstimator
from halo_core.testing.advice import KitAdvice
from halo_core.testing.component import check_rules
from halo_core.testing.points.reference_points import checks_of

Estimator = Callable[[Observed, Mapping[str, float]], Estimate]
FACTOR, STEP = 0.9, 0.25


def of_others(estimate: Estimator) -> RefPointEstimator:
    """Returns an estimator that sees the next prompt's completion, if there is one."""

    class OfOthers(RefPointEstimator):
        observes: ClassVar = "mismatched"

        def pairs(self, plan: PairingPlan, rng: random.Random) -> list[Pair]:
            ids = [each.prompt_id for each in plan.batch]
            others = [[j for j, other in enumerate(ids) if other != mine] for mine in ids]
            return [Pair(i, other[0]) for i, other in enumerate(others) if other]

        def estimate(self, observed: Observed, state: Mapping[str, float]) -> Estimate:
            return estimate(observed, state)

    return OfOthers()


def mean(observed: Observed) -> float:
    return sum(observed.logratios) / max(1, len(observed.logratios))


def averaged(observed: Observed, state: Mapping[str, float]) -> Estimate:
    """A moving average that waits where there is nothing to see."""
    if not observed.logratios:
        return Estimate(state.get("point", 0.0), dict(state))
    before = state.get("point", mean(observed))
    point = FACTOR * before + (1 - FACTOR) * mean(observed)
    return Estimate(point, {"point": point})


def corrected(observed: Observed, state: Mapping[str, float]) -> Estimate:
    """A moving average with two numbers, which fade together where there is nothing to see."""
    total, weight = FACTOR * state.get("total", 0.0), FACTOR * state.get("weight", 0.0)
    total, weight = total + sum(observed.logratios), weight + len(observed.logratios)
    return Estimate(total / weight if weight else 0.0, {"total": total, "weight": weight})


def in_steps(observed: Observed, state: Mapping[str, float]) -> Estimate:
    """Moves by a fixed step towards the log-ratios."""
    point = state.get("point", 0.0)
    above = [each - point for each in observed.logratios]
    point += STEP * ((sum(above) > 0) - (sum(above) < 0))
    return Estimate(point, {"point": point})


def shared(observed: Observed, state: Mapping[str, float]) -> Estimate:
    """Keeps the share of gains as a metric and in its state."""
    above = sum(each > 0 for each in observed.logratios)
    seen, gains = state.get("seen", 0) + len(observed.logratios), state.get("gains", 0) + above
    metrics = {"point/gains": (float(gains), float(seen))}
    return Estimate(max(0.0, mean(observed)), {"seen": seen, "gains": gains}, metrics)


def sorted_copy(observed: Observed, state: Mapping[str, float]) -> Estimate:
    numbers = list(observed.logratios)
    numbers.sort()
    return Estimate(numbers[len(numbers) // 2] if numbers else 0.0)


@pytest.mark.parametrize("estimate", [averaged, corrected, in_steps, shared, sorted_copy])
def test_right_numbers_pass(estimate: Estimator, recwarn: pytest.WarningsRecorder) -> None:
    estimator = of_others(estimate)
    check_rules(estimator, checks_of(estimator))
    assert not recwarn.list


def rounds_its_state(observed: Observed, state: Mapping[str, float]) -> Estimate:
    after = averaged(observed, state)
    return Estimate(after.value, {name: round(each, 3) for name, each in after.state.items()})


def fades_towards_0(observed: Observed, state: Mapping[str, float]) -> Estimate:
    point = state.get("point", mean(observed))
    point = FACTOR * point + (1 - FACTOR) * mean(observed)
    return Estimate(point, {"point": point})


def counts_an_empty_step(observed: Observed, state: Mapping[str, float]) -> Estimate:
    total, steps = state.get("total", 0.0) + mean(observed), state.get("steps", 0.0) + 1
    return Estimate(total / steps, {"total": total, "steps": steps})


def begins_with_infinity(observed: Observed, state: Mapping[str, float]) -> Estimate:
    least = min([state.get("least", float("inf")), *observed.logratios])
    return Estimate(least if observed.logratios else 0.0, {"least": least})


def needs_a_state(observed: Observed, state: Mapping[str, float]) -> Estimate:
    if not observed.logratios:
        return Estimate(state["point"], dict(state))
    return averaged(observed, state)


def names_a_late_metric(observed: Observed, state: Mapping[str, float]) -> Estimate:
    steps = state.get("steps", 0.0) + 1
    metrics = {"kl": (mean(observed), 1.0)} if steps % 10 == 0 else {}
    return Estimate(max(0.0, mean(observed)), {"steps": steps}, metrics)


def sorts_and_sets_back(observed: Observed, state: Mapping[str, float]) -> Estimate:
    numbers: Any = observed.logratios
    before = list(numbers)
    numbers.sort()
    point = numbers[len(numbers) // 2] if numbers else 0.0
    numbers[:] = before
    return Estimate(point)


@pytest.mark.parametrize(
    ("estimate", "message"),
    [
        (rounds_its_state, "state['point'] is rounded: it is "),
        (fades_towards_0, "after 3 steps that observe no pair it is 0.98"),
        (counts_an_empty_step, "after 3 steps that observe no pair it is 0.52"),
        (begins_with_infinity, "state['least'] is inf; expected a finite number"),
        (needs_a_state, "estimate() for a batch of one, log-ratios around 0 raised KeyError"),
        (names_a_late_metric, "step 10: it names a metric 'kl'; expected the form section/name"),
        (sorts_and_sets_back, "the values that it observes, which halo uses after it, with sort()"),
    ],
)
def test_broken_numbers_are_named(estimate: Estimator, message: str) -> None:
    estimator = of_others(estimate)
    with pytest.raises(AssertionError, match=re.escape(message)):
        check_rules(estimator, checks_of(estimator))


def test_a_rounded_point_is_advice() -> None:
    estimator = of_others(lambda observed, _: Estimate(max(0.0, round(mean(observed), 2))))
    with pytest.warns(KitAdvice, match=re.escape("the point is rounded: it is ")):
        check_rules(estimator, checks_of(estimator))
