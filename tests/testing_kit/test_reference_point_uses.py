"""The kit sees what a reference point does with its log-ratios, its state, its pairs and caches."""

import functools
import random
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, ClassVar

import pytest
from pydantic import Field

from halo_core import Estimate, Observed, Pair, PairingPlan, RefPointEstimator
from halo_core.testing.advice import KitAdvice
from halo_core.testing.component import check_rules
from halo_core.testing.points.reference_point_states import check_other_options
from halo_core.testing.points.reference_point_uses import USE_CHECKS
from halo_core.testing.points.reference_points import check_pairs_and_estimates

Estimator = Callable[[Observed, Mapping[str, float]], Any]


def mean(observed: Observed) -> float:
    return sum(observed.logratios) / max(1, len(observed.logratios))


def sizes_of(observed: Observed) -> Observed:
    return replace(observed, logratios=list(map(abs, observed.logratios)))


def own(estimate: Estimator) -> RefPointEstimator:
    class Own(RefPointEstimator):
        observes: ClassVar = "own"

        def estimate(self, observed: Observed, state: Mapping[str, float]) -> Any:
            return estimate(observed, state)

    return Own()


def mismatched(pairs: Callable[[PairingPlan, random.Random], list[Pair]]) -> RefPointEstimator:
    class Mismatched(RefPointEstimator):
        observes: ClassVar = "mismatched"

        def pairs(self, plan: PairingPlan, rng: random.Random) -> list[Pair]:
            return made_pairs(plan, rng)

        def estimate(self, observed: Observed, state: Mapping[str, float]) -> Estimate:
            return Estimate(max(0.0, mean(observed)))

    made_pairs = pairs
    return Mismatched()


def averaged(observed: Observed, state: Mapping[str, float]) -> Estimate:
    memory = 0.9 * state.get("memory", 0.0) + 0.1 * mean(observed)
    return Estimate(max(0.0, memory), {"memory": memory})


def late(observed: Observed, state: Mapping[str, float]) -> Estimate:
    """It looks at log-ratios only after a while, as a warm-up does."""
    step = state.get("step", 0.0)
    return Estimate(mean(observed) if step > 500 else 0.0, {"step": step + 1})


def forgets(observed: Observed, state: Mapping[str, float]) -> Estimate:
    return Estimate(averaged(observed, state).value)


def misspells(observed: Observed, state: Mapping[str, float]) -> Estimate:
    return Estimate(max(0.0, state.get("memroy", 0.0)), {"memory": mean(observed)})


def once_gave(observed: Observed, state: Mapping[str, float]) -> Estimate:
    after = averaged(observed, state)
    return Estimate(after.value + state.get("older", 0.0), after.state)


def clamps_its_sum(observed: Observed, state: Mapping[str, float]) -> Estimate:
    """It stores a mean where the next step expects a sum."""
    total = 0.8 * state.get("total", 0.0) + mean(observed)
    weight = 0.8 * state.get("weight", 0.0) + 1.0
    point = max(0.0, total / weight)
    return Estimate(point, {"total": point, "weight": weight})


def squared(observed: Observed, state: Mapping[str, float]) -> Estimate:
    """An estimate of the KL divergence that is right near 0 (Schulman's k2)."""
    return Estimate(sum(each * each / 2 for each in observed.logratios) / len(observed.logratios))


class Kept(RefPointEstimator):
    """A moving average whose bounds allow that nothing moves."""

    observes: ClassVar = "own"
    keep: float = Field(default=0.5, ge=0, le=1, description="Share of the point that is kept.")

    def estimate(self, observed: Observed, state: Mapping[str, float]) -> Estimate:
        now = mean(observed)
        point = self.keep * state.get("point", now) + (1 - self.keep) * now
        return Estimate(point, {"point": point})


def added(observed: Observed, state: Mapping[str, float]) -> Estimate:
    total = state.get("all", 0.0) + mean(observed)
    return Estimate(total, {"all": total})


@functools.cache
def rounded(number: float) -> float:
    return round(number, 3)


@functools.cache
def factor(count: int) -> float:
    return 1 / max(1, count)


class Between(RefPointEstimator):
    """Lies between two bounds, which contradict each other by default."""

    observes: ClassVar = "own"
    low: float = Field(default=0.0, ge=0, le=10, description="Least point.")
    high: float = Field(default=0.0, ge=0, le=10, description="Greatest point.")

    def estimate(self, observed: Observed, state: Mapping[str, float]) -> Estimate:
        return Estimate(max(self.low, min(self.high, mean(observed))))


class Starts(RefPointEstimator):
    """Starts at an option."""

    observes: ClassVar = "own"
    start: float = Field(default=0.5, ge=0, le=10, description="The first point.")

    def estimate(self, observed: Observed, state: Mapping[str, float]) -> Estimate:
        return Estimate(self.start + mean(observed))


def of_other_prompts(plan: PairingPlan, rng: random.Random) -> list[Pair]:
    pairs = []
    for place, asked in enumerate(plan.batch):
        others = [i for i, each in enumerate(plan.batch) if each.prompt_id != asked.prompt_id]
        pairs.append(Pair(place, rng.choice(others)))
    return pairs


def of_other_places(plan: PairingPlan, rng: random.Random) -> list[Pair]:
    places = range(len(plan.batch))
    return [Pair(i, rng.choice([j for j in places if j != i])) for i in places]


def shuffled(plan: PairingPlan, rng: random.Random) -> list[Pair]:
    return [Pair(i, rng.randrange(len(plan.batch))) for i in range(len(plan.batch))]


RIGHT = {
    "a mean": own(lambda observed, _: Estimate(mean(observed))),
    "a moving average": own(averaged),
    "a warm-up": own(late),
    "pairs of other prompts": mismatched(of_other_prompts),
    "a cache of sizes": own(lambda o, _: Estimate(sum(o.logratios) * factor(len(o.logratios)))),
}


@pytest.mark.parametrize("estimator", RIGHT.values(), ids=RIGHT)
def test_right_estimators_use_what_they_get(
    estimator: RefPointEstimator, recwarn: pytest.WarningsRecorder
) -> None:
    check_rules(estimator, USE_CHECKS)
    assert not recwarn.list


def of_long_ones(observed: Observed) -> float:
    longest = max(observed.lengths)
    pairs = zip(observed.logratios, observed.lengths, strict=True)
    return sum(ratio * length / longest for ratio, length in pairs)


BROKEN = {
    "not 0 at the start": (
        own(lambda observed, _: Estimate(0.5 + mean(observed))),
        "the point is 0.5 where the policy equals its reference",
    ),
    "the other sign": (
        own(lambda observed, _: Estimate(min(0.0, 1 - mean(observed)))),
        "when all log-ratios rise from around 1 to around 2. Is a sign wrong? It rises at none",
    ),
    "contradicts itself by default": (Between(), "observes = 'own', and no log-ratio changes"),
    "divides by the batch": (
        own(lambda o, _: Estimate(sum(o.logratios) / o.batch_size)),
        "in a batch of 12 completions and 0.312337 in one of 36; expected the same",
    ),
    "adds all up": (
        own(added),
        "after 300 steps with log-ratios around 1; expected it to stay near them",
    ),
    "another name": (
        own(lambda o, s: Estimate(s.get("point", 0.0) + mean(o), {"median": mean(o)})),
        "It gives 'median', which it does not read",
    ),
    "counts steps": (
        own(lambda _, state: Estimate(0.0, {"step": state.get("step", 0.0) + 1})),
        "observes = 'own', and no log-ratio changes the point, the state or a metric",
    ),
    "forgets": (own(forgets), "estimate() reads 'memory' of the state, which it does not give"),
    "first with itself": (
        mismatched(lambda plan, _: [Pair(i, max(0, i - 1)) for i in range(len(plan.batch))]),
        "pairs() gives a prompt its own completion (Pair(prompt=0, completion=0))",
    ),
    "shuffled": (mismatched(shuffled), "pairs() gives a prompt its own completion"),
    "misspells": (own(misspells), "and gives 'memory', which it does not read"),
    "a lower limit as an upper one": (
        own(lambda observed, _: Estimate(min(0.0, mean(observed)))),
        "the point is never above 0 where all log-ratios are 1.3",
    ),
    "a mean as a sum": (own(clamps_its_sum), "the point is 1.3 at step 1 and 0.959016 at step 3"),
    "absolute values": (
        own(lambda observed, _: Estimate(mean(sizes_of(observed)))),
        "the point is 1.3 where all log-ratios are -1.3",
    ),
    "a sum": (
        own(lambda observed, _: Estimate(max(0.0, sum(observed.logratios)))),
        "the point is 31.2 where all log-ratios are 1.3",
    ),
    "nats per token": (
        own(lambda o, _: Estimate(sum(o.logratios) / sum(o.lengths))),
        "is 0.26 with completions of 5 tokens and 0.026 with those of 50",
    ),
    "weights whose sum is not 1": (
        own(lambda o, _: Estimate(of_long_ones(o) / len(o.logratios))),
        "the point at step 1 is 1.3 with completions of 5 tokens and 0.715 with some of 5 and some",
    ),
    "caches": (
        own(lambda observed, _: Estimate(rounded(mean(observed)))),
        "the cache of rounded grows by 20 in 20 steps, and has no limit",
    ),
}


@pytest.mark.parametrize(("estimator", "message"), BROKEN.values(), ids=BROKEN)
def test_a_broken_estimator_is_named(estimator: RefPointEstimator, message: str) -> None:
    with pytest.raises(AssertionError, match=re.escape(message)):
        check_rules(estimator, USE_CHECKS)


ADVISED = {
    "two completions of a prompt": (
        mismatched(of_other_places),
        "pairs() gives a prompt another one of its own",
    ),
    "once gave": (own(once_gave), "estimate() reads 'older' of the state, which it does not"),
    "squares": (
        own(squared),
        "when all log-ratios rise from around -2 to around -1",
    ),
    "a start by an option": (Starts(), "the point is 0.5 where the policy equals its reference"),
    "contradicts itself": (Between(high=0.0, low=1.0), "Do two options contradict each other?"),
}


@pytest.mark.parametrize(("estimator", "message"), ADVISED.values(), ids=ADVISED)
def test_what_may_be_right_is_advice(estimator: RefPointEstimator, message: str) -> None:
    with pytest.warns(KitAdvice, match=re.escape(message)):
        check_rules(estimator, USE_CHECKS)


def test_a_bound_at_which_no_logratio_matters_is_named() -> None:
    with pytest.raises(AssertionError, match="with them no log-ratio changes a point"):
        check_other_options(Kept())


@pytest.mark.parametrize(
    ("metrics", "message"),
    [
        ({"aim": (1.0, 1.0)}, "it names a metric 'aim'; expected the form section/name"),
        ({"policy/a b": (1.0, 1.0)}, "it names a metric 'policy/a b'"),
        ({"policy/kl": (1.0, 0.0)}, "the metric 'policy/kl' has the sum 1.0 and the count 0.0"),
        ({"policy/kl": 1.0}, "estimate() gave the metric 'policy/kl' as float; expected a pair"),
    ],
)
def test_a_broken_metric_is_named(metrics: Any, message: str) -> None:
    with pytest.raises(AssertionError, match=re.escape(message)):
        check_pairs_and_estimates(own(lambda observed, _: Estimate(mean(observed), {}, metrics)))
