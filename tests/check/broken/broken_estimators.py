"""Estimators of reference points, and updates of references, that each break the rule `breaks`."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from halo_core import Estimate, Observed, Pair, PairingPlan, ReferenceUpdate, RefPointEstimator


class Estimator(RefPointEstimator):
    """The mean of the mismatched pairs, or 0."""

    breaks: ClassVar[str] = ""
    observes: ClassVar = "mismatched"

    def pairs(self, plan: PairingPlan, rng: Any) -> Sequence[Pair]:
        size, ids = len(plan.batch), [each.prompt_id for each in plan.batch]
        others = [
            [j % size for j in range(i, i + size) if ids[j % size] != ids[i]] for i in range(size)
        ]
        return [Pair(i, other[0]) for i, other in enumerate(others) if other]

    def estimate(self, observed: Observed, state: Mapping[str, float]) -> Estimate:
        count = len(observed.logratios)
        return Estimate(max(0.0, sum(observed.logratios) / count) if count else 0.0)


class DividesByZero(Estimator):
    """Divides by the number of pairs, which can be 0."""

    breaks = "pairs-and-estimates"

    def estimate(self, observed: Observed, state: Mapping[str, float]) -> Estimate:
        return Estimate(sum(observed.logratios) / len(observed.logratios))


class OutsideThePlan(Estimator):
    """Pairs with a completion that does not exist."""

    breaks = "pairs-and-estimates"

    def pairs(self, plan: PairingPlan, rng: Any) -> Sequence[Pair]:
        return [Pair(0, 10_000)]


class ANumber(Estimator):
    """Returns a number for an Estimate."""

    breaks = "pairs-and-estimates"

    def estimate(self, observed: Observed, state: Mapping[str, float]) -> Any:
        return 0.0


class Endless(Estimator):
    """Gives infinity at large log-ratios."""

    breaks = "pairs-and-estimates"

    def estimate(self, observed: Observed, state: Mapping[str, float]) -> Estimate:
        large = any(abs(each) > 100 for each in observed.logratios)
        return Estimate(float("inf") if large else 0.0)


class TooMuch(ReferenceUpdate):
    """Takes twice the policy."""

    breaks: ClassVar[str] = "shares"

    def mix(self, step: int) -> float:
        return 2.0


class PointIsNoNumber(Estimator):
    """Gives NaN if it observed nothing."""

    breaks = "pairs-and-estimates"

    def estimate(self, observed: Observed, state: Mapping[str, float]) -> Estimate:
        return Estimate(0.0 if observed.logratios else float("nan"))


class ByGlobalChance(Estimator):
    """Draws from the random numbers of the process."""

    breaks = "pairs-and-estimates"

    def pairs(self, plan: PairingPlan, rng: Any) -> Sequence[Pair]:
        random.random()
        return super().pairs(plan, rng)


class StateIsASet(Estimator):
    """Keeps a state that is not JSON."""

    breaks = "pairs-and-estimates"

    def estimate(self, observed: Observed, state: Mapping[str, float]) -> Estimate:
        return Estimate(0.0, {"seen": {1.0, 2.0}})  # type: ignore[dict-item]


class ChangesTheState(Estimator):
    """Writes into the state that it was given."""

    breaks = "pairs-and-estimates"

    def estimate(self, observed: Observed, state: Mapping[str, float]) -> Estimate:
        count = state.get("count", 0.0) + 1
        state["count"] = count  # type: ignore[index]
        return Estimate(count, state)


class EstimatesNothing(Estimator):
    """Forgets to return."""

    breaks = "pairs-and-estimates"

    def estimate(self, observed: Observed, state: Mapping[str, float]) -> Any:
        return None


class ByChance(ReferenceUpdate):
    """Takes a random share."""

    breaks: ClassVar[str] = "shares"

    def mix(self, step: int) -> float:
        return random.random()


class NoShare(ReferenceUpdate):
    """Gives NaN at the first step."""

    breaks: ClassVar[str] = "shares"

    def mix(self, step: int) -> float:
        return float("nan") if step == 1 else 0.5
