"""Losses on pairs that need no reference model."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal, Self

from pydantic import Field, model_validator

from halo_core.feedback import Feedback
from halo_core.loss import Loss, LossBatch, LossOutput, Need
from halo_methods import values
from halo_methods.citations import HALOS

if TYPE_CHECKING:
    from torch import Tensor


class SLiC(Loss):
    """Sequence likelihood calibration: a margin within each pair, and a likelihood to keep."""

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
        description="Margin between the two log-probabilities, nats (HALOs report eq. 5).",
    )
    regulariser_weight: float = Field(
        default=0.1,
        ge=0,
        description="Factor of the negative log-likelihood that keeps the policy near the "
        "reference (lambda_reg, HALOs report after eq. 5).",
    )
    regulariser: Literal["chosen", "samples"] = Field(
        default="chosen",
        description="Whose likelihood is kept: the chosen completion's, as the report did, or that "
        "of real samples of the reference, as its equation says, which have to be drawn first.",
    )
    regulariser_per: Literal["sequence", "token"] = Field(
        default="sequence",
        description="That likelihood is the sum over the completion's tokens (the equation), or "
        "their mean.",
    )

    @model_validator(mode="after")
    def _samples_are_used(self) -> Self:
        if self.regulariser == "samples" and self.regulariser_weight == 0:
            raise ValueError(
                "regulariser is samples and regulariser_weight is 0, so samples would be drawn for "
                "nothing; leave regulariser out or set regulariser_weight above 0"
            )
        return self

    def needed(self) -> tuple[Need, ...]:
        """Returns the policy's log-probabilities, and samples where they regularise."""
        return self.needs if self.regulariser == "samples" else ("policy_logps",)

    def value(self, gain: float) -> float:
        """Returns ``min(0, g - beta)``, where rewards are the policy's log-probabilities.

        The loss is its negative plus the regulariser, which is no part of the comparison.
        """
        return values.hinge(gain, self.beta)

    def __call__(self, batch: LossBatch) -> LossOutput:
        """Returns one loss per pair."""
        from halo_methods.slic import slic_loss

        chosen, rejected = batch.chosen, batch.rejected
        kept = batch.samples if self.regulariser == "samples" else chosen
        kept_logps = kept.policy_logps
        if self.regulariser_per == "token":
            kept_logps = kept_logps / kept.lengths
        losses = slic_loss(
            chosen.policy_logps,
            rejected.policy_logps,
            kept_logps,
            beta=self.beta,
            regulariser_weight=self.regulariser_weight,
        )
        return LossOutput(losses, rewards=batch.policy_logps)


class SimPO(Loss):
    """Simple preference optimisation: mean log-probabilities, a margin, and no reference."""

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
        description="Margin of reward that the chosen completion must be ahead (the authors' gamma "
        "/ beta was mostly about 0.5).",
    )

    def value(self, gain: float) -> float:
        """Returns ``log sigmoid(g - gamma)``: the loss is its negative."""
        return values.log_logistic(gain - self.gamma)

    def __call__(self, batch: LossBatch) -> LossOutput:
        """Returns one loss per pair."""
        from halo_methods.simpo import simpo_loss

        losses = simpo_loss(*_logps_and_lengths(batch), beta=self.beta, gamma=self.gamma)
        return LossOutput(losses, rewards=self.beta * batch.policy_logps / batch.lengths)


class ORPO(Loss):
    """Odds ratio preference optimisation: fine-tuning that pushes the rejected completion away."""

    feedback: ClassVar[Feedback] = "paired"
    needs: ClassVar[tuple[Need, ...]] = ("policy_logps",)
    citation: ClassVar[str | None] = (
        "Hong, Lee & Thorne (2024), ORPO: Monolithic Preference Optimization without Reference "
        "Model, eq. 6 and 7"
    )

    odds_ratio_weight: float = Field(
        default=0.1,
        gt=0,
        description="Factor of the odds-ratio term beside the likelihood (lambda of the paper).",
    )

    def __call__(self, batch: LossBatch) -> LossOutput:
        """Returns one loss per pair; rewards are log-odds, as the odds-ratio term compares them."""
        from halo_methods.orpo import log_odds, orpo_loss

        losses = orpo_loss(*_logps_and_lengths(batch), odds_ratio_weight=self.odds_ratio_weight)
        return LossOutput(losses, rewards=log_odds(batch.policy_logps / batch.lengths))


def _logps_and_lengths(batch: LossBatch) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The policy's log-probabilities of chosen and rejected completions, then their lengths [P]."""
    chosen, rejected = batch.chosen, batch.rejected
    return chosen.policy_logps, rejected.policy_logps, chosen.lengths, rejected.lengths
