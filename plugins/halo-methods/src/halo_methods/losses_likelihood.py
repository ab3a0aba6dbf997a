"""Losses that make completions likely: supervised fine-tuning."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from halo_core.feedback import Feedback
from halo_core.loss import Loss, LossBatch, LossOutput, Need
from halo_methods.citations import HALOS


class SFT(Loss):
    """Supervised fine-tuning: the negative log-likelihood of the demonstrations."""

    feedback: ClassVar[Feedback] = "demonstration"
    needs: ClassVar[tuple[Need, ...]] = ("policy_logps",)
    citation: ClassVar[str | None] = HALOS + ", section 2"

    per: Literal["token", "sequence"] = Field(
        default="token",
        description="What counts once in the mean over the global batch: each completion token "
        "(long completions count more), or each completion with its sum over tokens.",
    )

    def __call__(self, batch: LossBatch) -> LossOutput:
        """Returns one loss per demonstration."""
        from halo_methods.sft import sft_sequence_loss, sft_token_loss

        if self.per == "token":
            return LossOutput(*sft_token_loss(batch.policy_logps, batch.lengths))
        return LossOutput(*sft_sequence_loss(batch.policy_logps))
