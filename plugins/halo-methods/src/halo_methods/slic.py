"""Sequence likelihood calibration: a margin between two completions, and a likelihood term."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal, Self

from pydantic import Field, model_validator

from halo_core.feedback import Feedback
from halo_core.loss import Loss, LossBatch, LossOutput, Need
from halo_methods import HALOS
from halo_methods.shared import values
from halo_methods.shared.shapes import check_pairs

if TYPE_CHECKING:
    from torch import Tensor


class SLiC(Loss):
    """Sequence likelihood calibration: a margin within each pair, and a likelihood term."""

    feedback: ClassVar[Feedback] = "paired"
    needs: ClassVar[tuple[Need, ...]] = ("policy_logps", "reference_samples")
    citation: ClassVar[str | None] = (
        "Zhao et al. (2023), SLiC-HF: Sequence Likelihood Calibration with Human Feedback; "
        + HALOS
        + ", eq. 5"
    )

    beta: float = Field(
        default=1.0,
        gt=0,
        description="Target margin between the two log-probabilities, nats (HALOs report eq. 5).",
    )
    regulariser_weight: float = Field(
        default=0.1,
        ge=0,
        description="Factor of the negative log-likelihood that keeps the policy near the "
        "reference (lambda_reg, HALOs report after eq. 5).",
    )
    regulariser: Literal["chosen", "samples"] = Field(
        default="chosen",
        description="Completion whose likelihood is kept high: the chosen one, as in the report's "
        "experiments, or a sample of the reference, as in its equation. Samples must be drawn "
        "first.",
    )
    regulariser_per: Literal["sequence", "token"] = Field(
        default="sequence",
        description="Whether the likelihood term is the sum over the completion's tokens "
        "(sequence, the equation) or their mean (token).",
    )

    @model_validator(mode="after")
    def _regulariser_has_effect(self) -> Self:
        if self.regulariser == "samples" and self.regulariser_weight == 0:
            raise ValueError(
                "regulariser is samples and regulariser_weight is 0, so samples would be drawn "
                "without use; leave regulariser out or set regulariser_weight above 0"
            )
        if self.regulariser_per == "token" and self.regulariser_weight == 0:
            raise ValueError(
                "regulariser_per is token and regulariser_weight is 0, so there is nothing to take "
                "the mean of; leave regulariser_per out or set regulariser_weight above 0"
            )
        return self

    def needed(self) -> tuple[Need, ...]:
        """Returns the policy's log-probabilities, and samples if the regulariser uses them."""
        return self.needs if self.regulariser == "samples" else ("policy_logps",)

    def value(self, gain: float) -> float:
        """Returns ``min(0, g - beta)``, where rewards are the policy's log-probabilities.

        The loss is its negative plus the regulariser, which is not part of the comparison.
        """
        return values.hinge(gain, self.beta)

    def __call__(self, batch: LossBatch) -> LossOutput:
        """Returns one loss per pair."""
        chosen, rejected = batch.chosen, batch.rejected
        likely = batch.samples if self.regulariser == "samples" else chosen
        regulariser_logps = likely.policy_logps
        if self.regulariser_per == "token":
            regulariser_logps = regulariser_logps / likely.lengths
        losses = slic_loss(
            chosen.policy_logps,
            rejected.policy_logps,
            regulariser_logps,
            beta=self.beta,
            regulariser_weight=self.regulariser_weight,
        )
        return LossOutput(losses, rewards=batch.policy_logps)


def slic_loss(
    policy_chosen_logps: Tensor,
    policy_rejected_logps: Tensor,
    regulariser_logps: Tensor,
    *,
    beta: float,
    regulariser_weight: float,
) -> Tensor:
    """Returns the shortfall of each pair from its margin, plus a negative log-likelihood.

    With S the sum over the tokens of a completion::

        loss = max(0, beta - S(log pi(y_w)) + S(log pi(y_l))) + lambda_reg (-log pi(y_reg))

    Both terms are one number per pair. No reference model is computed. The second term keeps the
    policy near it, with a sample of the reference as its completion. The report treats the
    reference as the distribution of the demonstrations, and uses the chosen completion instead (end
    of its section 3.2).

    Args:
        policy_chosen_logps: Summed log-probability of each chosen completion, nats [P].
        policy_rejected_logps: Summed log-probability of each rejected completion, nats [P].
        regulariser_logps: Log-probability of the completion to keep likely, summed over its tokens
            as in the report's equation, or their mean, nats [P].
        beta: The margin, in nats, above 0.
        regulariser_weight: lambda_reg, at least 0.

    Returns:
        One loss per pair, at least 0 [P].

    Raises:
        ValueError: When the shapes are not all [P].

    References:
        Human-Aware Loss Functions (2024), eq. 5 and the one after it; Zhao et al. (2023),
        SLiC-HF: Sequence Likelihood Calibration with Human Feedback, eq. 1.

    The first pair is half a nat below its margin of 1. The second pair reaches it:

    >>> from torch import tensor
    >>> chosen, rejected = tensor([-2.0, -2.0]), tensor([-2.5, -4.0])
    >>> slic_loss(chosen, rejected, chosen, beta=1.0, regulariser_weight=0.1)
    tensor([0.7000, 0.2000])
    """
    check_pairs(
        "slic_loss",
        policy_chosen_logps=policy_chosen_logps,
        policy_rejected_logps=policy_rejected_logps,
        regulariser_logps=regulariser_logps,
    )
    margins = policy_chosen_logps - policy_rejected_logps
    calibration = (beta - margins).clamp(min=0)  # report eq. 5
    return calibration - regulariser_weight * regulariser_logps  # report, after eq. 5
