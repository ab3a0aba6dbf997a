"""The general human-aware loss, with its value function as an option."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar, Literal, Self

from pydantic import Field, model_validator

from halo_core.feedback import Feedback
from halo_core.loss import ClassCounts, Loss, LossBatch, LossOutput, Need, Settled
from halo_methods import class_weights, values
from halo_methods.citations import HALOS
from halo_methods.class_weights import DESIRABLE, UNDESIRABLE, ClassWeight
from halo_methods.ineffective import refuse_ineffective
from halo_methods.relative import relative_to_point

if TYPE_CHECKING:
    from torch import Tensor

_OPTIONS = {
    "logistic": (),
    "log-logistic": (),
    "hinge": ("margin",),
    "kahneman-tversky": ("alpha", "loss_aversion"),
}
"""The options that each value function has."""


class Prospect(Loss):
    """A weight times what a value function, of your choice, leaves to be desired."""

    feedback: ClassVar[Feedback] = "binary"
    needs: ClassVar[tuple[Need, ...]] = ("policy_logps", "reference_logps", "reference_point")
    default_reference_point: ClassVar[str | None] = "mismatched-kl"
    citation: ClassVar[str | None] = HALOS + ", section 4 and eq. 7"

    value_function: Literal["logistic", "log-logistic", "hinge", "kahneman-tversky"] = Field(
        default="logistic",
        description="What a gain is worth: logistic is KTO's, log-logistic DPO's, hinge SLiC's, "
        "kahneman-tversky that of people with money (HALOs report eq. 6).",
    )
    beta: float = Field(
        default=0.1, gt=0, description="Reward per nat of log-ratio above the reference point."
    )
    desirable_weight: ClassWeight = Field(default=1.0, description=DESIRABLE)
    undesirable_weight: ClassWeight = Field(default=1.0, description=UNDESIRABLE)
    margin: float = Field(
        default=1.0,
        ge=0,
        description="Gain from which on more is worth nothing; for hinge.",
    )
    alpha: float = Field(
        default=0.88,
        gt=0,
        le=1,
        description="How slowly sensitivity diminishes (Tversky & Kahneman 1992, median 0.88); for "
        "kahneman-tversky.",
    )
    loss_aversion: float = Field(
        default=2.25,
        gt=0,
        description="How much more a loss counts than a gain of its size (lambda of Tversky & "
        "Kahneman 1992, median 2.25); for kahneman-tversky.",
    )

    @model_validator(mode="after")
    def _options_have_effect(self) -> Self:
        class_weights.check_weights(self.desirable_weight, self.undesirable_weight)
        refuse_ineffective(self, "value_function", _OPTIONS)
        return self

    def settle(self, counts: ClassCounts) -> Settled:
        """Returns a copy whose weights are numbers, and what the counts say of them."""
        return class_weights.settle(self, self.desirable_weight, self.undesirable_weight, counts)

    def value(self, gain: float) -> float:
        """Returns the value function chosen: the loss is the weight times 1 less this."""
        if self.value_function == "logistic":
            return values.logistic(gain)
        if self.value_function == "log-logistic":
            return values.log_logistic(gain)
        if self.value_function == "hinge":
            return values.hinge(gain, self.margin)
        return values.kahneman_tversky(gain, self.alpha, self.loss_aversion)

    def __call__(self, batch: LossBatch) -> LossOutput:
        """Returns one loss per completion.

        Raises:
            ValueError: When the batch has no reference point, or a weight is still ``auto``.
        """
        from halo_methods.prospect import prospect_loss

        weights = class_weights.numbers(self.desirable_weight, self.undesirable_weight)
        relative = relative_to_point(batch, "prospect")
        losses = prospect_loss(*relative, self._shortfall(), beta=self.beta, **weights._asdict())
        return LossOutput(losses, rewards=self.beta * batch.logratios)

    def _shortfall(self) -> Callable[[Tensor], Tensor]:
        from halo_methods import value_functions as of

        if self.value_function == "logistic":
            return of.logistic_shortfall
        if self.value_function == "log-logistic":
            return of.log_logistic_shortfall
        if self.value_function == "hinge":
            return functools.partial(of.hinge_shortfall, margin=self.margin)
        return functools.partial(
            of.kahneman_tversky_shortfall, alpha=self.alpha, loss_aversion=self.loss_aversion
        )
