"""KTO and its variant: losses on desirable and undesirable completions, and a reference point."""

from __future__ import annotations

from typing import ClassVar, Self

from pydantic import Field, model_validator

from halo_core.feedback import Feedback
from halo_core.loss import ClassCounts, Loss, LossBatch, LossOutput, Need, Settled
from halo_methods import class_weights, values
from halo_methods.citations import HALOS
from halo_methods.class_weights import DESIRABLE, UNDESIRABLE, ClassWeight
from halo_methods.relative import relative_to_point

_NEEDS: tuple[Need, ...] = ("policy_logps", "reference_logps", "reference_point")


class KTO(Loss):
    """Kahneman-Tversky optimisation: raise what is desirable above the reference point."""

    feedback: ClassVar[Feedback] = "binary"
    needs: ClassVar[tuple[Need, ...]] = _NEEDS
    default_reference_point: ClassVar[str | None] = "mismatched-kl"
    citation: ClassVar[str | None] = HALOS + ", eq. 7 and 8"

    beta: float = Field(
        default=0.1,
        gt=0,
        description="Reward per nat of log-ratio above the reference point; larger saturates "
        "sooner (HALOs report eq. 8; Archangel used 0.1).",
    )
    desirable_weight: ClassWeight = Field(default=1.0, description=DESIRABLE)
    undesirable_weight: ClassWeight = Field(default=1.0, description=UNDESIRABLE)

    @model_validator(mode="after")
    def _something_is_learned(self) -> Self:
        class_weights.check_weights(self.desirable_weight, self.undesirable_weight)
        return self

    def settle(self, counts: ClassCounts) -> Settled:
        """Returns a copy whose weights are numbers, and what the counts say of them."""
        return class_weights.settle(self, self.desirable_weight, self.undesirable_weight, counts)

    def value(self, gain: float) -> float:
        """Returns ``sigmoid(g)``: the loss is the weight times 1 less this."""
        return values.logistic(gain)

    def __call__(self, batch: LossBatch) -> LossOutput:
        """Returns one loss per completion.

        Raises:
            ValueError: When the batch has no reference point, or a weight is still ``auto``.
        """
        from halo_methods.kto import kto_loss

        weights = class_weights.numbers(self.desirable_weight, self.undesirable_weight)
        losses = kto_loss(*relative_to_point(batch, "KTO"), beta=self.beta, **weights._asdict())
        return LossOutput(losses, rewards=self.beta * batch.logratios)


class KTOLogSigmoid(Loss):
    """KTO with DPO's value function: log sigmoid, which never saturates, in place of sigmoid."""

    feedback: ClassVar[Feedback] = "binary"
    needs: ClassVar[tuple[Need, ...]] = _NEEDS
    default_reference_point: ClassVar[str | None] = "mismatched-kl"
    citation: ClassVar[str | None] = HALOS + ", eq. 7 and 8 with the value function of DPO"

    beta: float = Field(
        default=0.1, gt=0, description="Reward per nat of log-ratio above the reference point."
    )
    desirable_weight: ClassWeight = Field(default=1.0, description=DESIRABLE)
    undesirable_weight: ClassWeight = Field(default=1.0, description=UNDESIRABLE)

    @model_validator(mode="after")
    def _something_is_learned(self) -> Self:
        class_weights.check_weights(self.desirable_weight, self.undesirable_weight)
        return self

    def settle(self, counts: ClassCounts) -> Settled:
        """Returns a copy whose weights are numbers, and what the counts say of them."""
        return class_weights.settle(self, self.desirable_weight, self.undesirable_weight, counts)

    def value(self, gain: float) -> float:
        """Returns ``log sigmoid(g)``: the loss is the weight times its negative."""
        return values.log_logistic(gain)

    def __call__(self, batch: LossBatch) -> LossOutput:
        """Returns one loss per completion.

        Raises:
            ValueError: When the batch has no reference point, or a weight is still ``auto``.
        """
        from halo_methods.kto import kto_log_sigmoid_loss

        weights = class_weights.numbers(self.desirable_weight, self.undesirable_weight)
        relative = relative_to_point(batch, "KTO with log-sigmoid")
        losses = kto_log_sigmoid_loss(*relative, beta=self.beta, **weights._asdict())
        return LossOutput(losses, rewards=self.beta * batch.logratios)
