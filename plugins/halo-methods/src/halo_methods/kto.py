"""Kahneman-Tversky optimisation: the cost of a desirable or undesirable completion to a human."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Self

from pydantic import Field, model_validator

from halo_core.feedback import Feedback
from halo_core.loss import ClassCounts, Loss, LossBatch, LossOutput, Need, Settled
from halo_methods import HALOS
from halo_methods.shared import class_weights, values
from halo_methods.shared.class_weights import DESIRABLE, UNDESIRABLE, ClassWeight
from halo_methods.shared.logratios import gains_above_point, relative_to_point

if TYPE_CHECKING:
    from torch import Tensor


class KTO(Loss):
    """Kahneman-Tversky optimisation: raise desirable completions above the reference point."""

    feedback: ClassVar[Feedback] = "binary"
    needs: ClassVar[tuple[Need, ...]] = ("policy_logps", "reference_logps", "reference_point")
    default_reference_point: ClassVar[str | None] = "mismatched-kl"
    citation: ClassVar[str | None] = HALOS + ", eq. 7 and 8"

    beta: float = Field(
        default=0.1,
        gt=0,
        description="Reward per nat of log-ratio above the reference point. With a larger value "
        "the loss saturates sooner (HALOs report eq. 8; Archangel used 0.1).",
    )
    desirable_weight: ClassWeight = Field(default=1.0, description=DESIRABLE)
    undesirable_weight: ClassWeight = Field(default=1.0, description=UNDESIRABLE)

    @model_validator(mode="after")
    def _something_is_learned(self) -> Self:
        class_weights.check_weights(self.desirable_weight, self.undesirable_weight)
        return self

    def mistakes_within_pairs(self) -> tuple[str, ...]:
        """Returns mistakes about class weights, which have no effect with only one class."""
        return class_weights.mistakes_within_pairs(self.desirable_weight, self.undesirable_weight)

    def settle(self, counts: ClassCounts) -> Settled:
        """Returns a copy with numbers as weights, and a remark on the counts."""
        return class_weights.settle(self, self.desirable_weight, self.undesirable_weight, counts)

    def value(self, gain: float) -> float:
        """Returns ``sigmoid(g)``. The loss is the weight times 1 minus this."""
        return values.logistic(gain)

    def __call__(self, batch: LossBatch) -> LossOutput:
        """Returns one loss per completion.

        Raises:
            ValueError: When the batch has no reference point, or a weight is still ``auto``.
        """
        weights = class_weights.as_numbers(self.desirable_weight, self.undesirable_weight)
        losses = kto_loss(*relative_to_point(batch, "KTO"), beta=self.beta, **weights._asdict())
        return LossOutput(losses, rewards=self.beta * batch.logratios)


class KTOLogSigmoid(Loss):
    """KTO with DPO's value function: log sigmoid, which never saturates, instead of sigmoid."""

    feedback: ClassVar[Feedback] = "binary"
    needs: ClassVar[tuple[Need, ...]] = ("policy_logps", "reference_logps", "reference_point")
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

    def mistakes_within_pairs(self) -> tuple[str, ...]:
        """Returns mistakes about class weights, which have no effect with only one class."""
        return class_weights.mistakes_within_pairs(self.desirable_weight, self.undesirable_weight)

    def settle(self, counts: ClassCounts) -> Settled:
        """Returns a copy with numbers as weights, and a remark on the counts."""
        return class_weights.settle(self, self.desirable_weight, self.undesirable_weight, counts)

    def value(self, gain: float) -> float:
        """Returns ``log sigmoid(g)``. The loss is the weight times its negative."""
        return values.log_logistic(gain)

    def __call__(self, batch: LossBatch) -> LossOutput:
        """Returns one loss per completion.

        Raises:
            ValueError: When the batch has no reference point, or a weight is still ``auto``.
        """
        weights = class_weights.as_numbers(self.desirable_weight, self.undesirable_weight)
        relative = relative_to_point(batch, "KTO with log-sigmoid")
        losses = kto_log_sigmoid_loss(*relative, beta=self.beta, **weights._asdict())
        return LossOutput(losses, rewards=self.beta * batch.logratios)


def kto_loss(
    policy_logps: Tensor,
    ref_logps: Tensor,
    desirable: Tensor,
    reference_point: Tensor,
    *,
    beta: float,
    desirable_weight: float = 1.0,
    undesirable_weight: float = 1.0,
) -> Tensor:
    """Returns the shortfall of the value of each completion from its maximum.

    With ``r = policy logp - reference logp`` and ``z0`` the reference point, both in nats::

        v(y) = sigmoid(beta (r - z0))  where y is desirable,    w(y) = desirable_weight
        v(y) = sigmoid(beta (z0 - r))  where y is undesirable,  w(y) = undesirable_weight
        loss(y) = w(y) (1 - v(y))

    beta also scales the reference point. The weights are inside the loss, so the trainer counts
    every example once: the result is a mean over examples, not over their weights.

    Args:
        policy_logps: Summed log-probability of each completion, nats [B].
        ref_logps: Summed log-probability of each completion under the reference, no gradient [B].
        desirable: Whether each completion is desirable [B] bool.
        reference_point: Estimate of KL(policy || reference), nats [] or [B]. No gradient flows
            through it; it only determines how saturated the loss is.
        beta: Scale from nats of log-ratio to reward, above 0.
        desirable_weight: lambda_D of the report, at least 0.
        undesirable_weight: lambda_U of the report, at least 0. For n_D desirable and n_U
            undesirable examples, lambda_D n_D / (lambda_U n_U) should be in [1, 4/3].

    Returns:
        One loss per completion, from 0 to its weight [B].

    Raises:
        ValueError: When a shape is not as above, or `desirable` is not bool.

    References:
        Human-Aware Loss Functions (2024), eq. 7 and 8.

    The policy has raised both completions by 1 nat, while 0.5 is neutral. This is good for the
    desirable one and bad for the other.

    >>> from torch import tensor
    >>> logps, ref_logps, desirable = tensor([-1.0, -3.0]), tensor([-2.0, -4.0]), [True, False]
    >>> kto_loss(logps, ref_logps, tensor(desirable), tensor(0.5), beta=1.0)
    tensor([0.3775, 0.6225])
    """
    import torch

    gains = gains_above_point(  # report eq. 8: g
        "kto_loss", policy_logps, ref_logps, desirable, reference_point, beta
    )
    shortfalls = torch.sigmoid(-gains)  # 1 - sigmoid(gains), exact where sigmoid rounds to 1
    return torch.where(  # report eq. 7, with the w of eq. 8
        desirable, desirable_weight * shortfalls, undesirable_weight * shortfalls
    )


def kto_log_sigmoid_loss(
    policy_logps: Tensor,
    ref_logps: Tensor,
    desirable: Tensor,
    reference_point: Tensor,
    *,
    beta: float,
    desirable_weight: float = 1.0,
    undesirable_weight: float = 1.0,
) -> Tensor:
    """Returns KTO's loss with ``-log v(y)`` in place of ``1 - v(y)``.

    The value function becomes DPO's ``log sigmoid``, which is concave everywhere. So a completion
    far on the wrong side of the reference point keeps its full gradient, while KTO's gradient
    vanishes there::

        loss(y) = -w(y) log v(y)    with the v and w of `kto_loss`

    Args:
        policy_logps: Summed log-probability of each completion, nats [B].
        ref_logps: Summed log-probability of each completion under the reference, no gradient [B].
        desirable: Whether each completion is desirable [B] bool.
        reference_point: Reference point as for `kto_loss`, nats [] or [B]; no gradient flows
            through it.
        beta: Scale from nats of log-ratio to reward, above 0.
        desirable_weight: lambda_D of the report, at least 0.
        undesirable_weight: lambda_U of the report, at least 0.

    Returns:
        One loss per completion, at least 0 [B].

    Raises:
        ValueError: When a shape is not as above, or `desirable` is not bool.

    References:
        Human-Aware Loss Functions (2024), eq. 7 and 8, with the value function of its section 4
        for DPO.

    >>> from torch import tensor
    >>> logps, ref_logps, desirable = tensor([-1.0, -3.0]), tensor([-2.0, -4.0]), [True, False]
    >>> kto_log_sigmoid_loss(logps, ref_logps, tensor(desirable), tensor(0.5), beta=1.0)
    tensor([0.4741, 0.9741])
    """
    import torch
    import torch.nn.functional as F

    gains = gains_above_point(
        "kto_log_sigmoid_loss", policy_logps, ref_logps, desirable, reference_point, beta
    )
    surprises = -F.logsigmoid(gains)
    return torch.where(  # report eq. 7 and 8, with -log v for 1 - v
        desirable, desirable_weight * surprises, undesirable_weight * surprises
    )
