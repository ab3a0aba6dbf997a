"""A squared hinge on the margin between the chosen and the rejected completion of a pair."""

from __future__ import annotations

from pydantic import Field

from halo_core import Loss, LossBatch, LossOutput


class OakLoss(Loss):
    """A squared hinge, which is 0 if the chosen completion is far enough ahead of the other one.

    ``max(0, margin - (chosen reward - rejected reward)) ** 2``. A reward is beta times the
    log-ratio of policy and reference, in nats. The derivative by the chosen reward is never above
    0, so a step of gradient descent makes the chosen completion more likely.
    """

    feedback = "paired"
    needs = ("policy_logps", "reference_logps")

    beta: float = Field(default=0.1, gt=0, description="Reward per nat of log-ratio.")
    margin: float = Field(
        default=1.0, gt=0, description="Difference of rewards above which the loss is 0."
    )

    def __call__(self, batch: LossBatch) -> LossOutput:
        """Returns one loss per pair [P], and the reward of each completion [B]."""
        rewards = self.beta * batch.logratios
        chosen, rejected = batch.of_pairs(rewards)
        losses = (self.margin - (chosen - rejected)).clamp(min=0).square()
        return LossOutput(losses, rewards=rewards)
