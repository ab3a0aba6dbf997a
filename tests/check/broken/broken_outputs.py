"""Losses, wrappers and estimators whose output breaks the rule `breaks`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

from pydantic import Field

from halo_core import (
    Estimate,
    Loss,
    LossBatch,
    LossOutput,
    LossWrapper,
    Observed,
    Pair,
    PairingPlan,
    RefPointEstimator,
)


class Rewarded(Loss):
    """A loss with rewards that keeps the rules. The trainer detaches the rewards."""

    breaks: ClassVar[str] = ""
    feedback: ClassVar = "binary"
    needs: ClassVar = ("policy_logps", "reference_logps")

    beta: float = Field(default=0.1, gt=0, description="Reward per nat.")

    def losses(self, batch: LossBatch) -> Any:
        gains = self.beta * batch.logratios
        return (-gains).where(batch.desirable, gains).sigmoid()

    def __call__(self, batch: LossBatch) -> LossOutput:
        return LossOutput(self.losses(batch), rewards=self.beta * batch.logratios)


class RewardsTurned(Rewarded):
    """Returns rewards with the wrong sign."""

    breaks = "rewards"

    def __call__(self, batch: LossBatch) -> LossOutput:
        return LossOutput(self.losses(batch), rewards=-self.beta * batch.logratios)


class RewardsOfTheSide(Rewarded):
    """Turns the rewards of undesirable completions."""

    breaks = "rewards"

    def __call__(self, batch: LossBatch) -> LossOutput:
        rewards = self.beta * batch.logratios
        return LossOutput(self.losses(batch), rewards=rewards.where(batch.desirable, -rewards))


class WeighsNothing(Rewarded):
    """Gives each example the weight 0."""

    breaks = "gradient"

    def __call__(self, batch: LossBatch) -> LossOutput:
        losses = self.losses(batch)
        return LossOutput(losses, weights=losses.detach() * 0)


class LineInAName(Rewarded):
    """Has a line break in the name of a metric."""

    breaks = "output"

    def __call__(self, batch: LossBatch) -> LossOutput:
        return LossOutput(self.losses(batch), metrics={"my\nmetric": (1.0, 1)})


class NoNumberAlone(Rewarded):
    """Has no loss without a desirable example."""

    breaks = "output"

    def __call__(self, batch: LossBatch) -> LossOutput:
        losses = self.losses(batch)
        return LossOutput(losses if batch.desirable.any() else losses * float("nan"))


class CentredMargins(Loss):
    """Subtracts the mean margin of the micro-batch."""

    breaks: ClassVar[str] = "split"
    feedback: ClassVar = "paired"
    needs: ClassVar = ("policy_logps", "reference_logps")

    beta: float = Field(default=0.1, gt=0, description="Reward per nat.")

    def __call__(self, batch: LossBatch) -> LossOutput:
        rewards = self.beta * batch.logratios
        margins = rewards[batch.desirable] - rewards[~batch.desirable]
        return LossOutput((margins.mean() - margins).sigmoid())


class SwapsSides(CentredMargins):
    """Prefers the rejected completions."""

    breaks = "direction"

    def __call__(self, batch: LossBatch) -> LossOutput:
        rewards = self.beta * batch.logratios
        margins = rewards[~batch.desirable] - rewards[batch.desirable]
        return LossOutput((-margins).sigmoid())


class DropsRewards(LossWrapper):
    """Returns new output without the rewards."""

    breaks: ClassVar[str] = "wraps-losses"

    def change_output(self, batch: LossBatch, output: LossOutput) -> LossOutput:
        return LossOutput(output.losses, output.weights, metrics=output.metrics)


class DropsWeights(LossWrapper):
    """Forgets the weights of examples."""

    breaks: ClassVar[str] = "wraps-losses"

    def change_output(self, batch: LossBatch, output: LossOutput) -> LossOutput:
        return replace(output, weights=None)


class TurnsLosses(LossWrapper):
    """Turns the sign of the losses."""

    breaks: ClassVar[str] = "wraps-losses"

    def change_output(self, batch: LossBatch, output: LossOutput) -> LossOutput:
        return replace(output, losses=-output.losses)


class ForgetsNeeds(LossWrapper):
    """Asks for less than the wrapped loss needs."""

    breaks: ClassVar[str] = "wraps-losses"

    def needed(self) -> Any:
        return ("policy_logps",)


class WithItself(RefPointEstimator):
    """Pairs each prompt with its own completion."""

    breaks: ClassVar[str] = "pairs-and-estimates"
    observes: ClassVar = "mismatched"

    def pairs(self, plan: PairingPlan, rng: Any) -> Sequence[Pair]:
        return [Pair(i, i) for i in range(len(plan.batch))]

    def estimate(self, observed: Observed, state: Mapping[str, float]) -> Estimate:
        return Estimate(max(0.0, sum(observed.logratios)))


class WithNobody(WithItself):
    """Makes no pairs."""

    def pairs(self, plan: PairingPlan, rng: Any) -> Sequence[Pair]:
        return ()

    breaks = "pairs-and-estimates"


class OfAllPairs(RefPointEstimator):
    """Uses the mean of all pairs for the point of each pair."""

    breaks: ClassVar[str] = "within-pair"
    observes: ClassVar = "pair"

    def within_pair(self, chosen_logratios: Any, rejected_logratios: Any) -> Any:
        return rejected_logratios - rejected_logratios.mean()
