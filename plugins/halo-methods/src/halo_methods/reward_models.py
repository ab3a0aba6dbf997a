"""Losses that train a scorer of completions, for judges to use, instead of a policy."""

from __future__ import annotations

from typing import ClassVar

from halo_core.feedback import Feedback
from halo_core.loss import Head, Loss, LossBatch, LossOutput, Need
from halo_methods.citations import HALOS

SCORE = "score"


class BradleyTerry(Loss):
    """A reward model: a score whose differences explain which completion people prefer."""

    feedback: ClassVar[Feedback] = "paired"
    needs: ClassVar[tuple[Need, ...]] = ()
    citation: ClassVar[str | None] = (
        "Bradley & Terry (1952), Rank Analysis of Incomplete Block Designs; " + HALOS + ", eq. 1"
    )

    def heads(self) -> tuple[Head, ...]:
        """Returns a linear head at the end of each completion."""
        return (Head(SCORE, at="end"),)

    def __call__(self, batch: LossBatch) -> LossOutput:
        """Returns one loss per pair; rewards are the scores."""
        from halo_methods.bradley_terry import bradley_terry_loss

        scores = batch.heads[SCORE]
        losses = bradley_terry_loss(scores[batch.desirable], scores[~batch.desirable])
        return LossOutput(losses, rewards=scores)
