"""Losses on pairs that compare the policy with the reference."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from halo_core.feedback import Feedback
from halo_core.loss import Loss, LossBatch, LossOutput, Need
from halo_methods.equal_weights import equally_weighted


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
        description="Reward per nat of log-ratio; larger keeps the policy nearer to the reference "
        "(HALOs report eq. 4; Archangel used 0.1).",
    )
    label_smoothing: float = Field(
        default=0.0,
        ge=0,
        lt=0.5,
        description="Assumed share of pairs labelled the wrong way round; above 0 this is "
        "conservative DPO (Mitchell 2023, eq. 3).",
    )

    def __call__(self, batch: LossBatch) -> LossOutput:
        """Returns one loss per pair."""
        from halo_methods.dpo import dpo_loss

        chosen, rejected = batch.desirable, ~batch.desirable
        losses = dpo_loss(
            batch.policy_logps[chosen],
            batch.policy_logps[rejected],
            batch.reference_logps[chosen],
            batch.reference_logps[rejected],
            beta=self.beta,
            label_smoothing=self.label_smoothing,
        )
        return equally_weighted(losses, rewards=self.beta * batch.logratios)
