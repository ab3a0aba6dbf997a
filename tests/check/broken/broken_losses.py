"""Losses that each break the rule `breaks`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, ClassVar

from pydantic import ConfigDict, Field, field_serializer

from halo_core import Loss, LossBatch, LossOutput


class Right(Loss):
    """A loss that keeps the rules: the probability that the wrong side wins."""

    breaks: ClassVar[str] = ""
    feedback: ClassVar = "binary"
    needs: ClassVar = ("policy_logps", "reference_logps")

    beta: float = Field(default=0.1, gt=0, description="Reward per nat.")

    def losses(self, batch: LossBatch) -> Any:
        gains = self.beta * batch.logratios
        return (-gains).where(batch.desirable, gains).sigmoid()

    def __call__(self, batch: LossBatch) -> LossOutput:
        return LossOutput(self.losses(batch))


class Unbounded(Right):
    """Has a number that can have the wrong sign."""

    breaks = "option-bounds"
    strength: float = Field(default=1.0, description="A factor.")


class BadDefault(Right):
    """Has a default that no spec could contain."""

    breaks = "option-defaults"
    strength: float = Field(default=-1.0, gt=0, description="A factor.")


class ThroughData(Right):
    """Clamps its inputs at the extremes."""

    breaks = "untouched"

    def __call__(self, batch: LossBatch) -> LossOutput:
        batch.policy_token_logps.data.clamp_(min=-1e3)
        return super().__call__(batch)


class InPlace(Right):
    """Changes the reference's log-probabilities."""

    breaks = "untouched"

    def __call__(self, batch: LossBatch) -> LossOutput:
        output = super().__call__(batch)
        batch.reference_token_logps.mul_(0.5)
        return output


class TrainsTheReference(Right):
    """Asks for a gradient of the reference."""

    breaks = "untouched"

    def __call__(self, batch: LossBatch) -> LossOutput:
        batch.reference_token_logps.requires_grad_()
        return super().__call__(batch)


class Random(Right):
    """Draws random numbers."""

    breaks = "untouched"

    def __call__(self, batch: LossBatch) -> LossOutput:
        import torch

        output = super().__call__(batch)
        return replace(output, losses=output.losses + torch.rand(()))


class OnTheCPU(Right):
    """Makes a tensor without the device of its inputs."""

    breaks = "dtype-and-device"

    def __call__(self, batch: LossBatch) -> LossOutput:
        import torch

        output = super().__call__(batch)
        return replace(output, losses=output.losses + torch.zeros(len(output.losses)))


class InFloat64(Right):
    """Returns another dtype than it got."""

    breaks = "dtype-and-device"

    def __call__(self, batch: LossBatch) -> LossOutput:
        output = super().__call__(batch)
        return replace(output, losses=output.losses.double())


class WrongSign(Right):
    """Makes bad completions more likely."""

    breaks = "direction"

    def losses(self, batch: LossBatch) -> Any:
        return 1 - super().losses(batch)


class HalfWrong(Right):
    """Has the wrong sign for undesirable completions only."""

    breaks = "direction"

    def losses(self, batch: LossBatch) -> Any:
        return (-self.beta * batch.logratios).sigmoid()


class Overflows(Right):
    """Is infinite far away from the reference."""

    breaks = "extremes"

    def losses(self, batch: LossBatch) -> Any:
        gains = 0.1 * batch.logratios
        return (-gains).where(batch.desirable, gains).exp()


class OverTheBatch(Right):
    """Depends on the other examples of the micro-batch."""

    breaks = "split"

    def losses(self, batch: LossBatch) -> Any:
        losses = super().losses(batch)
        return losses - losses.mean().detach()


class ByPosition(Right):
    """Depends on the order of the examples."""

    breaks = "permutation"

    def losses(self, batch: LossBatch) -> Any:
        losses = super().losses(batch)
        return losses * losses.new_tensor([1.0 + i for i in range(len(losses))])


class TheMean(Right):
    """Returns one number for all examples."""

    breaks = "output"

    def losses(self, batch: LossBatch) -> Any:
        return super().losses(batch).mean()


class Constant(Right):
    """Does not depend on the policy."""

    breaks = "output"

    def losses(self, batch: LossBatch) -> Any:
        return super().losses(batch).detach()


class NotANumber(Right):
    """Gives a metric as a text."""

    breaks = "output"

    def __call__(self, batch: LossBatch) -> LossOutput:
        return replace(super().__call__(batch), metrics={"size": "large"})


class NegativeWeights(Right):
    """Weighs examples with negative numbers."""

    breaks = "output"

    def __call__(self, batch: LossBatch) -> LossOutput:
        output = super().__call__(batch)
        return replace(output, weights=-output.losses.detach())


class NoLoss(Right):
    """Forgets to return."""

    breaks = "output"

    def __call__(self, batch: LossBatch) -> LossOutput:  # type: ignore[return]
        super().__call__(batch)


class StopsTheGradient(Right):
    """Multiplies by a detached factor, without saying so."""

    breaks = "gradient"

    def losses(self, batch: LossBatch) -> Any:
        losses = super().losses(batch)
        return losses * losses.detach()


class Unheard(Right):
    """Needs something that there is not."""

    breaks = "declaration"
    needs: ClassVar = ("policy_logps", "reference_logps", "moon_phase")


class Exits(Right):
    """Ends the process."""

    breaks = "output"

    def __call__(self, batch: LossBatch) -> LossOutput:
        raise SystemExit(0)


class UnknownRule(Right):
    """Leaves out a rule that does not exist."""

    breaks = "unchecked-rules"

    def unchecked_rules(self) -> Mapping[str, str]:
        return {"directions": "a typing mistake"}


class Falls(Right):
    """Has a value function that raises."""

    breaks = "abilities"

    def value(self, gain: float) -> float:
        return 1 / gain


class NanMetric(Right):
    """Gives a metric that is not a number."""

    breaks = "output"

    def __call__(self, batch: LossBatch) -> LossOutput:
        return replace(super().__call__(batch), metrics={"size": (float("nan"), 1)})


class MetricIsATensor(Right):
    """Gives one number per example as a metric."""

    breaks = "output"

    def __call__(self, batch: LossBatch) -> LossOutput:
        output = super().__call__(batch)
        return replace(output, metrics={"size": (output.losses, len(output.losses))})


class RewardsOfTheWrongShape(Right):
    """Gives one reward for all completions."""

    breaks = "output"

    def __call__(self, batch: LossBatch) -> LossOutput:
        return replace(super().__call__(batch), rewards=batch.logratios.detach().sum())


class ReturnsATensor(Right):
    """Returns the losses without an output around them."""

    breaks = "output"

    def __call__(self, batch: LossBatch) -> Any:
        return self.losses(batch)


class ReadsMore(Right):
    """Reads the reference, which it does not need by its own words."""

    breaks = "output"
    needs: ClassVar = ("policy_logps",)


class OnOneExample(Right):
    """Works only on batches with both labels."""

    breaks = "split"

    def losses(self, batch: LossBatch) -> Any:
        if batch.desirable.all() or not batch.desirable.any():
            raise ValueError("a batch needs both labels")
        return super().losses(batch)


class DropsTheSign(Right):
    """Has steps, whose gradient is 0."""

    breaks = "gradient"

    def losses(self, batch: LossBatch) -> Any:
        return super().losses(batch).round(decimals=1) + 0 * batch.logratios


class Thawed(Right):
    """Has options that can be changed."""

    breaks = "frozen"
    model_config = ConfigDict(frozen=False)


class Lenient(Right):
    """Takes options that it does not have."""

    breaks = "unknown-options"
    model_config = ConfigDict(extra="ignore")


class Rounded(Right):
    """Writes another option than it has."""

    breaks = "options-as-json"
    share: float = Field(default=0.1234, gt=0, description="A share.")

    @field_serializer("share")
    def _short(self, share: float) -> float:
        return round(share, 2)


class NeedsAWord(Right):
    """Names a requirement as a text."""

    breaks = "needed-here"

    def needed_here(self) -> Any:
        return ["scipy"]


class OptionOfAnyType(Right):
    """Has an option that no editor can complete."""

    breaks = "schema"
    shape: Callable[[], float] | None = Field(default=None, description="A function.")


class LeavesOutWithoutReason(Right):
    """Leaves out a rule and does not say why."""

    breaks = "unchecked-rules"

    def unchecked_rules(self) -> Mapping[str, str]:
        return {"direction": ""}


class SetsTheSeed(Right):
    """Sets the seed of all random numbers."""

    breaks = "untouched"

    def __call__(self, batch: LossBatch) -> LossOutput:
        import torch

        torch.manual_seed(0)
        return super().__call__(batch)


class ChangesTheDefaultDtype(Right):
    """Makes all later tensors float64."""

    breaks = "untouched"

    def __call__(self, batch: LossBatch) -> LossOutput:
        import torch

        torch.set_default_dtype(torch.float64)
        return super().__call__(batch)
