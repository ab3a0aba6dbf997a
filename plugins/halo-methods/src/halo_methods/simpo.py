"""Simple preference optimisation: mean log-probabilities, a margin, and no reference model."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from halo_core.feedback import Feedback
from halo_core.loss import Loss, LossBatch, LossOutput, Need
from halo_methods.shared import values
from halo_methods.shared.logratios import logps_and_lengths_of_pairs
from halo_methods.shared.shapes import check_pairs

if TYPE_CHECKING:
    from torch import Tensor


class SimPO(Loss):
    """Simple preference optimisation: mean log-probabilities, a margin, and no reference model."""

    feedback: ClassVar[Feedback] = "paired"
    needs: ClassVar[tuple[Need, ...]] = ("policy_logps",)
    citation: ClassVar[str | None] = (
        "Meng, Xia & Chen (2024), SimPO: Simple Preference Optimization with a Reference-Free "
        "Reward, eq. 6"
    )

    beta: float = Field(
        default=2.0,
        gt=0,
        description="Reward per nat of mean log-probability (the authors used 2 to 2.5).",
    )
    gamma: float = Field(
        default=1.0,
        ge=0,
        description="Margin by which the chosen completion's reward should be larger (the authors' "
        "gamma / beta was mostly about 0.5).",
    )

    def value(self, gain: float) -> float:
        """Returns ``log sigmoid(g - gamma)``: the loss is its negative."""
        return values.log_logistic(gain - self.gamma)

    def __call__(self, batch: LossBatch) -> LossOutput:
        """Returns one loss per pair."""
        losses = simpo_loss(*logps_and_lengths_of_pairs(batch), beta=self.beta, gamma=self.gamma)
        return LossOutput(losses, rewards=self.beta * batch.policy_logps / batch.lengths)


def simpo_loss(
    policy_chosen_logps: Tensor,
    policy_rejected_logps: Tensor,
    chosen_lengths: Tensor,
    rejected_lengths: Tensor,
    *,
    beta: float,
    gamma: float,
) -> Tensor:
    """Returns the negative log-likelihood of each preference under length-normalised rewards.

    With A the mean over the tokens of a completion::

        loss = -log sigmoid(beta A(log pi(y_w)) - beta A(log pi(y_l)) - gamma)

    Args:
        policy_chosen_logps: Summed log-probability of each chosen completion, nats [P].
        policy_rejected_logps: Summed log-probability of each rejected completion, nats [P].
        chosen_lengths: Tokens of each chosen completion, at least 1 [P].
        rejected_lengths: Tokens of each rejected completion, at least 1 [P].
        beta: Reward per nat of mean log-probability, above 0.
        gamma: Target margin of the rewards, at least 0.

    Returns:
        One loss per pair, above 0 [P].

    Raises:
        ValueError: When the shapes are not all [P].

    References:
        Meng, Xia & Chen (2024), SimPO: Simple Preference Optimization with a Reference-Free
        Reward, eq. 6.

    A completion that is twice as long and as likely per token is neither better nor worse:

    >>> from torch import tensor
    >>> logps, lengths = (tensor([-4.0]), tensor([-2.0])), (tensor([4.0]), tensor([2.0]))
    >>> simpo_loss(*logps, *lengths, beta=2.0, gamma=0.0)
    tensor([0.6931])
    """
    import torch.nn.functional as F

    check_pairs(
        "simpo_loss",
        policy_chosen_logps=policy_chosen_logps,
        policy_rejected_logps=policy_rejected_logps,
        chosen_lengths=chosen_lengths,
        rejected_lengths=rejected_lengths,
    )
    chosen_rewards = beta * policy_chosen_logps / chosen_lengths
    rejected_rewards = beta * policy_rejected_logps / rejected_lengths
    return -F.logsigmoid(chosen_rewards - rejected_rewards - gamma)  # Meng et al. eq. 6
