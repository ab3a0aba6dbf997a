"""Anchored preference optimisation: losses on pairs that also set a direction for each side."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from halo_core.feedback import Feedback
from halo_core.loss import Loss, LossBatch, LossOutput, Need
from halo_methods.shared import values
from halo_methods.shared.logratios import logps_of_pairs, pair_logratios

if TYPE_CHECKING:
    from torch import Tensor

_APO = (
    "D'Oosterlinck et al. (2024), Anchored Preference Optimization and Contrastive Revisions: "
    "Addressing Underspecification in Alignment"
)


class APOZero(Loss):
    """Anchored preference optimisation: raise the chosen, lower the rejected completion."""

    feedback: ClassVar[Feedback] = "paired"
    needs: ClassVar[tuple[Need, ...]] = ("policy_logps", "reference_logps")
    citation: ClassVar[str | None] = _APO

    beta: float = Field(default=0.1, gt=0, description="Reward per nat of log-ratio.")

    def value(self, gain: float) -> float:
        """Returns ``sigmoid(g)``, where each completion's gain is its own reward."""
        return values.logistic(gain)

    def __call__(self, batch: LossBatch) -> LossOutput:
        """Returns one loss per pair."""
        losses = apo_zero_loss(*logps_of_pairs(batch), beta=self.beta)
        return LossOutput(losses, rewards=self.beta * batch.logratios)


class APODown(Loss):
    """Anchored preference optimisation: lower both sides, for pairs worse than the policy."""

    feedback: ClassVar[Feedback] = "paired"
    needs: ClassVar[tuple[Need, ...]] = ("policy_logps", "reference_logps")
    citation: ClassVar[str | None] = _APO

    beta: float = Field(default=0.1, gt=0, description="Reward per nat of log-ratio.")

    def __call__(self, batch: LossBatch) -> LossOutput:
        """Returns one loss per pair."""
        losses = apo_down_loss(*logps_of_pairs(batch), beta=self.beta)
        return LossOutput(losses, rewards=self.beta * batch.logratios)


def apo_zero_loss(
    policy_chosen_logps: Tensor,
    policy_rejected_logps: Tensor,
    ref_chosen_logps: Tensor,
    ref_rejected_logps: Tensor,
    *,
    beta: float,
) -> Tensor:
    """Returns a loss that raises the chosen completion and lowers the rejected one.

    With ``r = policy logp - reference logp``::

        loss = (1 - sigmoid(beta r_w)) + sigmoid(beta r_l)

    It suits pairs whose chosen completion is better than the policy's own. Each half is KTO's
    loss with a reference point of 0.

    Args:
        policy_chosen_logps: Summed log-probability of each chosen completion, nats [P].
        policy_rejected_logps: Summed log-probability of each rejected completion, nats [P].
        ref_chosen_logps: `policy_chosen_logps` under the reference, no gradient [P].
        ref_rejected_logps: `policy_rejected_logps` under the reference, no gradient [P].
        beta: Scale from nats of log-ratio to reward, above 0.

    Returns:
        One loss per pair, from 0 to 2 [P].

    Raises:
        ValueError: When the shapes are not all [P].

    References:
        D'Oosterlinck et al. (2024), Anchored Preference Optimization and Contrastive Revisions,
        the definition of APO-zero.

    >>> from torch import tensor
    >>> apo_zero_loss(tensor([-1.0]), tensor([-4.0]), tensor([-2.0]), tensor([-3.0]), beta=1.0)
    tensor([0.5379])
    """
    import torch

    chosen_logratios, rejected_logratios = pair_logratios(
        "apo_zero_loss",
        policy_chosen_logps,
        policy_rejected_logps,
        ref_chosen_logps,
        ref_rejected_logps,
    )
    # 1 - sigmoid(x) as sigmoid(-x), exact where sigmoid rounds to 1
    return torch.sigmoid(-beta * chosen_logratios) + torch.sigmoid(beta * rejected_logratios)


def apo_down_loss(
    policy_chosen_logps: Tensor,
    policy_rejected_logps: Tensor,
    ref_chosen_logps: Tensor,
    ref_rejected_logps: Tensor,
    *,
    beta: float,
) -> Tensor:
    """Returns a loss that lowers both completions, the rejected one more.

    With ``r = policy logp - reference logp``::

        loss = sigmoid(beta r_w) + (1 - sigmoid(beta r_w - beta r_l))

    It suits pairs in which both completions are worse than the policy's own.

    Args:
        policy_chosen_logps: Summed log-probability of each chosen completion, nats [P].
        policy_rejected_logps: Summed log-probability of each rejected completion, nats [P].
        ref_chosen_logps: `policy_chosen_logps` under the reference, no gradient [P].
        ref_rejected_logps: `policy_rejected_logps` under the reference, no gradient [P].
        beta: Scale from nats of log-ratio to reward, above 0.

    Returns:
        One loss per pair, from 0 to 2 [P].

    Raises:
        ValueError: When the shapes are not all [P].

    References:
        D'Oosterlinck et al. (2024), Anchored Preference Optimization and Contrastive Revisions,
        the definition of APO-down.

    >>> from torch import tensor
    >>> apo_down_loss(tensor([-1.0]), tensor([-4.0]), tensor([-2.0]), tensor([-3.0]), beta=1.0)
    tensor([0.8503])
    """
    import torch

    chosen_logratios, rejected_logratios = pair_logratios(
        "apo_down_loss",
        policy_chosen_logps,
        policy_rejected_logps,
        ref_chosen_logps,
        ref_rejected_logps,
    )
    shortfalls = torch.sigmoid(beta * (rejected_logratios - chosen_logratios))
    return torch.sigmoid(beta * chosen_logratios) + shortfalls
