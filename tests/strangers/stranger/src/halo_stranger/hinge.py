"""A hinge loss on the margin between the chosen and the rejected completion."""

from __future__ import annotations

from pydantic import Field

from halo_core import Loss, LossBatch, LossOutput


class Hinge(Loss):
    """A hinge loss, which is 0 if the chosen completion is ahead of the rejected one by a margin.

    ``max(0, 1 - beta * (chosen logratio - rejected logratio))``, with log-ratios in nats.
    """

    feedback = "paired"
    needs = ("policy_logps", "reference_logps")
    citation = "Zhao et al. (2023), SLiC-HF, eq. 1, with a reference"

    beta: float = Field(default=0.1, gt=0, description="Reward per nat of log-ratio.")

    def __call__(self, batch: LossBatch) -> LossOutput:
        """Returns one loss per pair."""
        rewards = self.beta * batch.logratios
        margins = rewards[batch.desirable] - rewards[~batch.desirable]
        losses = (1 - margins).clamp(min=0)
        return LossOutput(losses, rewards=rewards)
