"""Odds ratio preference optimisation: fine-tuning plus a term against the rejected completion."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from halo_core.feedback import Feedback
from halo_core.loss import Loss, LossBatch, LossOutput, Need
from halo_methods.shared.logratios import logps_and_lengths_of_pairs
from halo_methods.shared.shapes import check_pairs

if TYPE_CHECKING:
    from torch import Tensor

CERTAIN = -1e-4
"""Mean log-probability per token, nats, above which the log-odds continue as a straight line."""


class ORPO(Loss):
    """Odds ratio preference optimisation: fine-tuning plus a term against rejected completions."""

    feedback: ClassVar[Feedback] = "paired"
    needs: ClassVar[tuple[Need, ...]] = ("policy_logps",)
    citation: ClassVar[str | None] = (
        "Hong, Lee & Thorne (2024), ORPO: Monolithic Preference Optimization without Reference "
        "Model, eq. 6 and 7"
    )

    odds_ratio_weight: float = Field(
        default=0.1,
        gt=0,
        description="Factor of the odds-ratio term that is added to the likelihood (lambda of the "
        "paper).",
    )

    def __call__(self, batch: LossBatch) -> LossOutput:
        """Returns one loss per pair. The rewards are the log-odds in the odds-ratio term."""
        losses = orpo_loss(
            *logps_and_lengths_of_pairs(batch), odds_ratio_weight=self.odds_ratio_weight
        )
        return LossOutput(losses, rewards=log_odds(batch.policy_logps / batch.lengths))


def orpo_loss(
    policy_chosen_logps: Tensor,
    policy_rejected_logps: Tensor,
    chosen_lengths: Tensor,
    rejected_lengths: Tensor,
    *,
    odds_ratio_weight: float,
) -> Tensor:
    """Returns the chosen completion's mean negative log-likelihood plus the odds-ratio term.

    With A the mean over the tokens of a completion and ``odds = P / (1 - P)``,
    ``P = exp A(log pi)``::

        loss = -A(log pi(y_w)) - lambda log sigmoid(log odds(y_w) - log odds(y_l))

    It needs no reference model: the first term is plain fine-tuning. Here it covers the tokens of
    the completion, as in every other loss. The authors' own code also counts the prompt's tokens.

    Args:
        policy_chosen_logps: Summed log-probability of each chosen completion, nats [P].
        policy_rejected_logps: Summed log-probability of each rejected completion, nats [P].
        chosen_lengths: Tokens of each chosen completion, at least 1 [P].
        rejected_lengths: Tokens of each rejected completion, at least 1 [P].
        odds_ratio_weight: lambda of the paper, above 0.

    Returns:
        One loss per pair, above 0 [P].

    Raises:
        ValueError: When the shapes are not all [P].

    References:
        Hong, Lee & Thorne (2024), ORPO: Monolithic Preference Optimization without Reference
        Model, eq. 4, 6 and 7.

    For two identical completions, the loss is the likelihood term plus lambda log 2:

    >>> import torch
    >>> logps, lengths = torch.tensor([-4.0]), torch.tensor([2.0])
    >>> orpo_loss(logps, logps, lengths, lengths, odds_ratio_weight=0.1)
    tensor([2.0693])
    """
    import torch.nn.functional as F

    check_pairs(
        "orpo_loss",
        policy_chosen_logps=policy_chosen_logps,
        policy_rejected_logps=policy_rejected_logps,
        chosen_lengths=chosen_lengths,
        rejected_lengths=rejected_lengths,
    )
    chosen_means = policy_chosen_logps / chosen_lengths
    log_odds_ratios = log_odds(chosen_means) - log_odds(policy_rejected_logps / rejected_lengths)
    odds_ratio_losses = -F.logsigmoid(log_odds_ratios)  # Hong et al. eq. 7
    return -chosen_means + odds_ratio_weight * odds_ratio_losses  # eq. 6


def log_odds(mean_logps: Tensor) -> Tensor:
    """Returns the log-odds of a probability. It is finite even at 1.

    ``log(p / (1 - p)) = x - log(1 - exp(x))`` with ``x = log p``. Near p = 1 this and its slope
    ``1 / (1 - p)`` tend to infinity. So from `CERTAIN` (p = 0.9999) on, the function continues as
    its tangent, which is finite and keeps a gradient.

    ``log(1 - exp(x))`` is computed as ``log(-expm1(x))``. This avoids cancellation near 0. Far
    below 0, where the term is tiny next to ``x``, it is exact up to one rounding of 1.

    Args:
        mean_logps: Log of the probability, nats, at most 0 [...].

    >>> import torch
    >>> log_odds(torch.tensor([0.5, 0.9]).log()).exp()
    tensor([1.0000, 9.0000])
    >>> log_odds(torch.tensor([0.0, -1e4]))
    tensor([    10.2103, -10000.0000])
    """
    import torch

    inside = mean_logps.clamp(max=CERTAIN)
    slope = 1 / -math.expm1(CERTAIN)
    return inside - torch.log(-torch.expm1(inside)) + slope * (mean_logps - inside)
