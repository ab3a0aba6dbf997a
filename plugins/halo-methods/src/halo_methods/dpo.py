"""Direct preference optimisation, with label smoothing for noisy preferences."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from halo_core.feedback import Feedback
from halo_core.loss import Loss, LossBatch, LossOutput, Need
from halo_methods.shared import values
from halo_methods.shared.logratios import logps_of_pairs, pair_logratios

if TYPE_CHECKING:
    from torch import Tensor

_BETA = "Reward per nat of log-ratio. A larger value keeps the policy nearer to the reference"


class DPO(Loss):
    """Direct preference optimisation: prefer the chosen completion, relative to the reference."""

    feedback: ClassVar[Feedback] = "paired"
    needs: ClassVar[tuple[Need, ...]] = ("policy_logps", "reference_logps")
    citation: ClassVar[str | None] = (
        "Rafailov, Sharma, Mitchell, Ermon, Manning & Finn (2023), Direct Preference Optimization"
    )

    beta: float = Field(
        default=0.1,
        gt=0,
        description=_BETA + " (HALOs report eq. 4; Archangel used 0.1).",
    )
    label_smoothing: float = Field(
        default=0.0,
        ge=0,
        lt=0.5,
        description="Assumed share of pairs with swapped labels. Above 0 this is conservative DPO "
        "(Mitchell 2023, eq. 3).",
    )

    def value(self, gain: float) -> float:
        """Returns ``log sigmoid(g)`` with smoothing. The loss is its negative."""
        return _smoothed_log_logistic(gain, self.label_smoothing)

    def __call__(self, batch: LossBatch) -> LossOutput:
        """Returns one loss per pair."""
        return _dpo(batch, self.beta, self.label_smoothing)


class CDPO(Loss):
    """Conservative DPO: like `dpo`, but some labels are assumed to be wrong."""

    feedback: ClassVar[Feedback] = "paired"
    needs: ClassVar[tuple[Need, ...]] = ("policy_logps", "reference_logps")
    citation: ClassVar[str | None] = (
        "Mitchell (2023), A note on DPO with noisy preferences and relationship to IPO"
    )

    beta: float = Field(default=0.1, gt=0, description=_BETA + ", as in DPO.")
    label_smoothing: float = Field(
        default=0.1,
        gt=0,
        lt=0.5,
        description="Assumed share of pairs with swapped labels (Mitchell 2023, eq. 3).",
    )

    def value(self, gain: float) -> float:
        """Returns ``log sigmoid(g)`` with smoothing. The loss is its negative."""
        return _smoothed_log_logistic(gain, self.label_smoothing)

    def __call__(self, batch: LossBatch) -> LossOutput:
        """Returns one loss per pair."""
        return _dpo(batch, self.beta, self.label_smoothing)


def _dpo(batch: LossBatch, beta: float, label_smoothing: float) -> LossOutput:
    losses = dpo_loss(*logps_of_pairs(batch), beta=beta, label_smoothing=label_smoothing)
    return LossOutput(losses, rewards=beta * batch.logratios)


def _smoothed_log_logistic(gain: float, label_smoothing: float) -> float:
    as_labelled, swapped = values.log_logistic(gain), values.log_logistic(-gain)
    return (1 - label_smoothing) * as_labelled + label_smoothing * swapped  # Mitchell eq. 3


def dpo_loss(
    policy_chosen_logps: Tensor,
    policy_rejected_logps: Tensor,
    ref_chosen_logps: Tensor,
    ref_rejected_logps: Tensor,
    *,
    beta: float,
    label_smoothing: float = 0.0,
) -> Tensor:
    """Returns the negative log-likelihood of each preference under the policy's implied reward.

    With ``r = policy logp - reference logp`` and eps the label smoothing::

        loss(w, l) = -log sigmoid(beta r_w - beta r_l)
        smoothed   = (1 - eps) loss(w, l) + eps loss(l, w)

    The smoothed loss assumes that a label is wrong with probability eps (conservative DPO). It has
    its minimum at a finite margin, where ``sigmoid(beta r_w - beta r_l) = 1 - eps``. The report has
    no smoothing; eps = 0 is its equation 4.

    Args:
        policy_chosen_logps: Summed log-probability of each chosen completion, nats [P].
        policy_rejected_logps: Summed log-probability of each rejected completion, nats [P].
        ref_chosen_logps: `policy_chosen_logps` under the reference, no gradient [P].
        ref_rejected_logps: `policy_rejected_logps` under the reference, no gradient [P].
        beta: Scale from nats of log-ratio to reward, above 0.
        label_smoothing: Assumed share of wrong labels, from 0 to below 0.5.

    Returns:
        One loss per pair, above 0 [P].

    Raises:
        ValueError: When the shapes are not all [P].

    References:
        Rafailov et al. (2023), Direct Preference Optimization, eq. 7; in Human-Aware Loss
        Functions (2024) eq. 4. Smoothing: Mitchell (2023), A note on DPO with noisy preferences
        and relationship to IPO, eq. 3.

    For a policy that equals its reference, the loss is log 2 (first pair). A policy that has moved
    towards the chosen completion has a lower loss, and a slightly higher one with smoothing:

    >>> from torch import tensor
    >>> chosen, rejected = tensor([-0.5, -10.0]), tensor([-0.1, -30.0])
    >>> ref_chosen, ref_rejected = tensor([-0.5, -10.1]), tensor([-0.1, -20.1])
    >>> dpo_loss(chosen, rejected, ref_chosen, ref_rejected, beta=0.1, label_smoothing=0.0)
    tensor([0.6931, 0.3133])
    >>> dpo_loss(chosen, rejected, ref_chosen, ref_rejected, beta=0.1, label_smoothing=0.1)
    tensor([0.6931, 0.4133])
    """
    import torch.nn.functional as F

    chosen_logratios, rejected_logratios = pair_logratios(
        "dpo_loss",
        policy_chosen_logps,
        policy_rejected_logps,
        ref_chosen_logps,
        ref_rejected_logps,
    )
    margins = beta * (chosen_logratios - rejected_logratios)
    as_labelled = -F.logsigmoid(margins)  # report eq. 4
    swapped = -F.logsigmoid(-margins)
    return (1 - label_smoothing) * as_labelled + label_smoothing * swapped  # Mitchell eq. 3
