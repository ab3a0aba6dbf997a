"""Losses, estimators and updates that are wrong in what a single batch does not show."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from pydantic import Field

from halo_core import (
    Estimate,
    Loss,
    LossBatch,
    LossOutput,
    Observed,
    Pair,
    PairingPlan,
    ReferenceUpdate,
    RefPointEstimator,
)


class Kinked(Loss):
    """DPO-Positive: its published term max(0, -r) has a kink where policy and reference agree."""

    breaks: ClassVar[str] = ""
    feedback: ClassVar = "paired"
    needs: ClassVar = ("policy_logps", "reference_logps")

    beta: float = Field(default=0.3, gt=0, description="Reward per nat.")
    penalty: float = Field(default=5.0, ge=0, description="Margin lost per nat.")

    def __call__(self, batch: LossBatch) -> LossOutput:
        from torch.nn.functional import logsigmoid

        chosen, rejected = batch.of_pairs(batch.logratios)
        short = (-chosen).clamp(min=0)
        losses = -logsigmoid(self.beta * (chosen - rejected - self.penalty * short))
        return self.output(batch, losses, (short.detach() > 0).sum())

    def output(self, batch: LossBatch, losses: Any, short: Any) -> LossOutput:
        rewards = self.beta * batch.logratios
        return LossOutput(losses, rewards=rewards, metrics={"pairs/short": (short, batch.examples)})


class WrongAtTheKink(Kinked):
    """Has a gradient at its kink that is on neither side."""

    breaks = "gradient"

    def output(self, batch: LossBatch, losses: Any, short: Any) -> LossOutput:
        return super().output(batch, losses + 0.1 * (losses - losses.detach()), short)


class CentredRewards(Kinked):
    """Subtracts the mean of the micro-batch from its rewards."""

    breaks = "reported"

    def output(self, batch: LossBatch, losses: Any, short: Any) -> LossOutput:
        rewards = self.beta * (batch.logratios - batch.logratios.mean())
        return LossOutput(losses, rewards=rewards)


class CountsOnce(Kinked):
    """Counts a micro-batch as one."""

    breaks = "reported"

    def output(self, batch: LossBatch, losses: Any, short: Any) -> LossOutput:
        return LossOutput(losses, metrics={"pairs/short": (short, 1)})


class NamesByBatch(Kinked):
    """Has a metric for each size of a micro-batch."""

    breaks = "reported"

    def output(self, batch: LossBatch, losses: Any, short: Any) -> LossOutput:
        return LossOutput(losses, metrics={f"short-{batch.examples}": (short, batch.examples)})


class FixedWidth(Kinked):
    """Sums the first 256 tokens."""

    breaks = "long-completions"

    def __call__(self, batch: LossBatch) -> LossOutput:
        import torch
        from torch.nn.functional import logsigmoid

        assert batch.reference_token_logps is not None
        tokens = batch.policy_token_logps - batch.reference_token_logps
        rows = range(len(batch.desirable))
        sums = torch.stack([tokens[batch.sequence_index == row][:256].sum() for row in rows])
        chosen, rejected = batch.of_pairs(sums)
        return LossOutput(-logsigmoid(self.beta * (chosen - rejected) - 0 * self.penalty))


class FadesToNothing(Kinked):
    """Weighs tokens less and less, and from the 2,048th on not at all."""

    breaks = "long-completions"

    def __call__(self, batch: LossBatch) -> LossOutput:
        import torch
        from torch.nn.functional import logsigmoid

        assert batch.reference_token_logps is not None
        tokens = batch.policy_token_logps - batch.reference_token_logps
        sums = []
        for row in range(len(batch.desirable)):
            mine = tokens[batch.sequence_index == row]
            places = torch.arange(len(mine), dtype=mine.dtype, device=mine.device)
            sums.append(((1 - places / 2048).clamp(min=0) * mine).sum())
        chosen, rejected = batch.of_pairs(torch.stack(sums))
        return LossOutput(-logsigmoid(self.beta * (chosen - rejected) - 0 * self.penalty))


class SlowLoss(Kinked):
    """Takes longer than the limit, which the test makes short."""

    breaks = "speed"


class BadAtTheBound(Kinked):
    """Allows a value of an option with which nothing is finite."""

    breaks = "other-options"
    margin: float = Field(default=1.0, ge=0, le=2, description="Divisor.")

    def output(self, batch: LossBatch, losses: Any, short: Any) -> LossOutput:
        return super().output(batch, losses / self.margin, short)


class Prints(Kinked):
    """Prints its losses."""

    breaks = "prints"

    def output(self, batch: LossBatch, losses: Any, short: Any) -> LossOutput:
        print("losses", losses)
        return super().output(batch, losses, short)


class IgnoresItsPenalty(Kinked):
    """Has an option that it does not use."""

    advised: ClassVar[str] = "other-options"

    def __call__(self, batch: LossBatch) -> LossOutput:
        from torch.nn.functional import logsigmoid

        chosen, rejected = batch.of_pairs(batch.logratios)
        return LossOutput(-logsigmoid(self.beta * (chosen - rejected)))


class Trimmed(RefPointEstimator):
    """A moving average of the trimmed mean of a batch."""

    breaks: ClassVar[str] = ""
    observes: ClassVar = "own"

    trim: float = Field(default=0.1, ge=0, lt=0.5, description="Share cut at each end.")

    def estimate(self, observed: Observed, state: Mapping[str, float]) -> Estimate:
        cut = int(self.trim * len(observed.logratios))
        middle = sorted(observed.logratios)[cut : len(observed.logratios) - cut]
        if not middle:
            return Estimate(state.get("mean", 0.0), self.empty(state))
        mean = 0.9 * state.get("mean", 0.0) + 0.1 * sum(middle) / len(middle)
        return Estimate(mean, {"mean": mean})

    def empty(self, state: Mapping[str, float]) -> Mapping[str, float]:
        return dict(state)


class SortsInPlace(Trimmed):
    """Sorts halo's own list."""

    breaks = "pairs-and-estimates"

    def estimate(self, observed: Observed, state: Mapping[str, float]) -> Estimate:
        observed.logratios.sort()  # type: ignore[attr-defined]
        return super().estimate(observed, state)


class StateGrows(Trimmed):
    """Keeps a number for each step."""

    breaks = "state"

    def estimate(self, observed: Observed, state: Mapping[str, float]) -> Estimate:
        now = super().estimate(observed, state)
        return Estimate(now.value, {**state, **now.state, f"step {len(state)}": now.value})


class LosesItsState(Trimmed):
    """Forgets everything when a batch has no pairs."""

    breaks = "state"
    observes = "mismatched"

    def pairs(self, plan: PairingPlan, rng: random.Random) -> Sequence[Pair]:
        size = len(plan.batch)
        return [Pair(i, (i + 1) % size) for i in range(size)] if size > 1 else []

    def empty(self, state: Mapping[str, float]) -> Mapping[str, float]:
        return {}


class CutsByOrder(Trimmed):
    """Cuts the first and the last values, and not the lowest and the highest ones."""

    breaks = "order"

    def estimate(self, observed: Observed, state: Mapping[str, float]) -> Estimate:
        cut = int(self.trim * len(observed.logratios))
        middle = observed.logratios[cut : len(observed.logratios) - cut]
        return Estimate(sum(middle) / len(middle) if middle else 0.0)


class DividesByAnOption(Trimmed):
    """Allows a divisor of 0."""

    breaks = "other-options"
    scale: float = Field(default=1.0, ge=0, description="Divisor.")

    def estimate(self, observed: Observed, state: Mapping[str, float]) -> Estimate:
        now = super().estimate(observed, state)
        return Estimate(now.value / self.scale, now.state)


class IgnoresItsTrim(Trimmed):
    """Has an option that it does not use."""

    advised: ClassVar[str] = "other-options"

    def estimate(self, observed: Observed, state: Mapping[str, float]) -> Estimate:
        return Trimmed().estimate(observed, state)


class Late(ReferenceUpdate):
    """Copies the policy once, before a late step."""

    breaks: ClassVar[str] = ""

    at: int = Field(default=2345, ge=1, description="The step.")

    def mix(self, step: int) -> float:
        return float(step == self.at)


class Never(ReferenceUpdate):
    """Never changes the reference."""

    breaks: ClassVar[str] = "shares"

    def mix(self, step: int) -> float:
        return 0.0


class AboveOne(ReferenceUpdate):
    """Adds two options that may be 1."""

    breaks: ClassVar[str] = "other-options"

    first: float = Field(default=0.5, ge=0, le=1, description="A share.")
    second: float = Field(default=0.1, ge=0, le=1, description="A share.")

    def mix(self, step: int) -> float:
        return self.first + self.second


class SlowMix(ReferenceUpdate):
    """Takes longer than the limit, which the test makes short."""

    breaks: ClassVar[str] = "shares"

    def mix(self, step: int) -> float:
        return random.Random(step).random()


class KeepsItsStep(ReferenceUpdate):
    """Writes into its class at each call."""

    breaks: ClassVar[str] = "stateless"
    last: ClassVar[int] = 0

    def mix(self, step: int) -> float:
        type(self).last = step
        return 0.5
