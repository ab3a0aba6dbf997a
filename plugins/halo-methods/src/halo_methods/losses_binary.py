"""Losses on desirable and undesirable completions, relative to a reference point."""

from __future__ import annotations

from typing import ClassVar, Self

from pydantic import Field, model_validator

from halo_core.feedback import Feedback
from halo_core.loss import Loss, LossBatch, LossOutput, Need
from halo_methods.citations import HALOS
from halo_methods.equal_weights import equally_weighted


class KTO(Loss):
    """Kahneman-Tversky optimisation: raise what is desirable above the reference point."""

    feedback: ClassVar[Feedback] = "binary"
    needs: ClassVar[tuple[Need, ...]] = ("policy_logps", "reference_logps", "reference_point")
    default_reference_point: ClassVar[str | None] = "mismatched-kl"
    citation: ClassVar[str | None] = HALOS + ", eq. 7 and 8"

    beta: float = Field(
        default=0.1,
        gt=0,
        description="Reward per nat of log-ratio above the reference point; larger saturates "
        "sooner (HALOs report eq. 8; Archangel used 0.1).",
    )
    desirable_weight: float = Field(
        default=1.0,
        ge=0,
        description="Factor of the loss of desirable completions (lambda_D, HALOs report eq. 8). "
        "Choose it so that lambda_D n_D / (lambda_U n_U) lies in [1, 4/3].",
    )
    undesirable_weight: float = Field(
        default=1.0,
        ge=0,
        description="Factor of the loss of undesirable completions (lambda_U, HALOs report eq. 8).",
    )

    @model_validator(mode="after")
    def _something_is_learned(self) -> Self:
        if self.desirable_weight == 0 and self.undesirable_weight == 0:
            raise ValueError(
                "desirable_weight and undesirable_weight are both 0, so nothing would be learned; "
                "set at least one above 0"
            )
        return self

    def __call__(self, batch: LossBatch) -> LossOutput:
        """Returns one loss per completion.

        Raises:
            ValueError: When the batch has no reference point.
        """
        from halo_methods.kto import kto_loss

        if batch.reference_point is None:
            raise ValueError("KTO needs a reference point, and the batch has none")
        losses = kto_loss(
            batch.policy_logps,
            batch.reference_logps,
            batch.desirable,
            batch.reference_point,
            beta=self.beta,
            desirable_weight=self.desirable_weight,
            undesirable_weight=self.undesirable_weight,
        )
        return equally_weighted(losses, rewards=self.beta * batch.logratios)
