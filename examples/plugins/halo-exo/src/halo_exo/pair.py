"""Exact preference optimisation (EXO) on pairs."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from pydantic import Field

from halo_core import Loss, LossBatch, LossOutput

if TYPE_CHECKING:
    from torch import Tensor


class Pair(Loss):
    """EXO: the reverse divergence between the policy's preference and that of people."""

    feedback = "paired"
    needs = ("policy_logps", "reference_logps")
    citation = (
        "Ji, Lu, Niu, Ke, Wang, Zhu, Tang & Huang (2024), Towards Efficient Exact Optimization of "
        "Language Model Alignment, the loss on preferences"
    )

    beta: float = Field(default=0.1, gt=0, description="Reward per nat of log-ratio.")
    label_noise: float = Field(
        default=0.01,
        gt=0,
        lt=0.5,
        description="Share of people who are assumed to prefer the rejected completion. It must be "
        "above 0, because the divergence to a certain preference is infinite.",
    )

    def value(self, gain: float) -> float:
        """Returns the negative loss at a margin of ``gain``, in nats."""
        chosen = 1 / (1 + math.exp(-gain)) if gain >= 0 else math.exp(gain) / (1 + math.exp(gain))
        total = 0.0
        for share, target in ((chosen, 1 - self.label_noise), (1 - chosen, self.label_noise)):
            total += share * (math.log(share) - math.log(target)) if share > 0 else 0.0
        return -total

    def __call__(self, batch: LossBatch) -> LossOutput:
        """Returns one loss per pair."""
        rewards = self.beta * batch.logratios
        margins = rewards[batch.desirable] - rewards[~batch.desirable]
        return LossOutput(exo_pair_loss(margins, label_noise=self.label_noise), rewards=rewards)


def exo_pair_loss(margins: Tensor, *, label_noise: float) -> Tensor:
    """Returns the divergence of the policy's preference from that of people, for each pair.

    With ``p = sigmoid(margin)``, the probability with which the policy prefers the chosen
    completion, and eps the label noise::

        p log(p / (1 - eps)) + (1 - p) log((1 - p) / eps)

    Args:
        margins: Reward of each chosen completion minus that of the rejected one [P].
        label_noise: Share of people who prefer the rejected completion, above 0 and below 0.5.

    Returns:
        One loss per pair in nats, at least 0; it is 0 at ``p = 1 - eps`` [P].

    >>> from torch import tensor
    >>> exo_pair_loss(tensor([0.0, 4.0]), label_noise=0.1)
    tensor([0.5108, 0.0548])
    """
    import torch
    import torch.nn.functional as F

    chosen = torch.sigmoid(margins)
    # Logarithms of the logistic function, because that of a rounded 0 is infinite.
    as_labelled = F.logsigmoid(margins) - math.log1p(-label_noise)
    swapped = F.logsigmoid(-margins) - math.log(label_noise)
    return chosen * as_labelled + torch.sigmoid(-margins) * swapped
