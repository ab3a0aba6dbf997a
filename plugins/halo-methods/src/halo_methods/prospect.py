"""The general human-aware loss: a weight times the shortfall of the value from 1."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar, Literal, Self

from pydantic import Field, model_validator

from halo_core.feedback import Feedback
from halo_core.loss import ClassCounts, Loss, LossBatch, LossOutput, Need, Settled
from halo_methods import HALOS
from halo_methods.shared import class_weights, values
from halo_methods.shared.class_weights import DESIRABLE, UNDESIRABLE, ClassWeight
from halo_methods.shared.fields import refuse_ineffective
from halo_methods.shared.logratios import gains_above_point, relative_to_point

if TYPE_CHECKING:
    from torch import Tensor

_OPTIONS = {
    "logistic": (),
    "log-logistic": (),
    "hinge": ("margin",),
    "kahneman-tversky": ("alpha", "loss_aversion"),
}
"""The options of each value function."""


class Prospect(Loss):
    """A weight times the shortfall of a value from 1, with a value function of your choice."""

    feedback: ClassVar[Feedback] = "binary"
    needs: ClassVar[tuple[Need, ...]] = ("policy_logps", "reference_logps", "reference_point")
    default_reference_point: ClassVar[str | None] = "mismatched-kl"
    citation: ClassVar[str | None] = HALOS + ", section 4 and eq. 7"

    value_function: Literal["logistic", "log-logistic", "hinge", "kahneman-tversky"] = Field(
        default="logistic",
        description="Value of a gain: logistic is KTO's, log-logistic is DPO's, hinge is SLiC's, "
        "and kahneman-tversky is that of people and money (HALOs report eq. 6).",
    )
    beta: float = Field(
        default=0.1, gt=0, description="Reward per nat of log-ratio above the reference point."
    )
    desirable_weight: ClassWeight = Field(default=1.0, description=DESIRABLE)
    undesirable_weight: ClassWeight = Field(default=1.0, description=UNDESIRABLE)
    margin: float = Field(
        default=1.0,
        ge=0,
        description="Gain above which the value does not grow. Only for hinge.",
    )
    alpha: float = Field(
        default=0.88,
        gt=0,
        le=1,
        description="Exponent of gains and losses: sensitivity to them diminishes faster with a "
        "smaller one (Tversky & Kahneman 1992, median 0.88). Only for kahneman-tversky.",
    )
    loss_aversion: float = Field(
        default=2.25,
        gt=0,
        description="Weight of a loss relative to a gain of the same size (lambda of Tversky & "
        "Kahneman 1992, median 2.25). Only for kahneman-tversky.",
    )

    @model_validator(mode="after")
    def _options_have_effect(self) -> Self:
        class_weights.check_weights(self.desirable_weight, self.undesirable_weight)
        refuse_ineffective(self, "value_function", _OPTIONS)
        return self

    def mistakes_within_pairs(self) -> tuple[str, ...]:
        """Returns mistakes about class weights, which have no effect with only one class."""
        return class_weights.mistakes_within_pairs(self.desirable_weight, self.undesirable_weight)

    def settle(self, counts: ClassCounts) -> Settled:
        """Returns a copy with numbers as weights, and a remark on the counts."""
        return class_weights.settle(self, self.desirable_weight, self.undesirable_weight, counts)

    def value(self, gain: float) -> float:
        """Returns the chosen value function. The loss is the weight times 1 minus this."""
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
        weights = class_weights.as_numbers(self.desirable_weight, self.undesirable_weight)
        relative = relative_to_point(batch, "prospect")
        losses = prospect_loss(*relative, self._shortfall(), beta=self.beta, **weights._asdict())
        return LossOutput(losses, rewards=self.beta * batch.logratios)

    def _shortfall(self) -> Callable[[Tensor], Tensor]:
        if self.value_function == "logistic":
            return values.logistic_shortfall
        if self.value_function == "log-logistic":
            return values.log_logistic_shortfall
        if self.value_function == "hinge":
            return functools.partial(values.hinge_shortfall, margin=self.margin)
        return functools.partial(
            values.kahneman_tversky_shortfall, alpha=self.alpha, loss_aversion=self.loss_aversion
        )


def prospect_loss(
    policy_logps: Tensor,
    ref_logps: Tensor,
    desirable: Tensor,
    reference_point: Tensor,
    shortfall: Callable[[Tensor], Tensor],
    *,
    beta: float,
    desirable_weight: float = 1.0,
    undesirable_weight: float = 1.0,
) -> Tensor:
    """Returns the shortfall of the value of each completion from 1, for any value function.

    With ``r = policy logp - reference logp`` and ``z0`` the reference point, both in nats::

        g(y) = beta (r - z0)  where y is desirable,    w(y) = desirable_weight
        g(y) = beta (z0 - r)  where y is undesirable,  w(y) = undesirable_weight
        loss(y) = w(y) (1 - v(g(y)))

    Undesirable completions are mirrored at the reference point, as in KTO. With the logistic value
    function this is KTO. With the log-logistic one, and the rejected completion's log-ratio as the
    reference point of the chosen one, it is DPO plus 1.

    Args:
        policy_logps: Summed log-probability of each completion, nats [B].
        ref_logps: Summed log-probability of each completion under the reference, no gradient [B].
        desirable: Whether each completion is desirable [B] bool.
        reference_point: The point that log-ratios are compared with, nats [] or [B]; no gradient
            flows through it.
        shortfall: ``1 - v``, from `halo_methods.shared.values` or any other, element by element.
        beta: Scale from nats of log-ratio to reward, above 0.
        desirable_weight: lambda_D of the report, at least 0.
        undesirable_weight: lambda_U of the report, at least 0.

    Returns:
        One loss per completion [B].

    Raises:
        ValueError: When a shape is not as above, or `desirable` is not bool.

    References:
        Human-Aware Loss Functions (2024), eq. 7 with the value functions of section 4.

    >>> import torch
    >>> from halo_methods.shared.values import log_logistic_shortfall
    >>> logps, ref_logps = torch.tensor([-1.0, -3.0]), torch.tensor([-2.0, -4.0])
    >>> desirable, point = torch.tensor([True, False]), torch.tensor(0.5)
    >>> prospect_loss(logps, ref_logps, desirable, point, log_logistic_shortfall, beta=1.0)
    tensor([1.4741, 1.9741])
    """
    import torch

    gains = gains_above_point(
        "prospect_loss", policy_logps, ref_logps, desirable, reference_point, beta
    )
    shortfalls = shortfall(gains)
    return torch.where(  # report eq. 7
        desirable, desirable_weight * shortfalls, undesirable_weight * shortfalls
    )
