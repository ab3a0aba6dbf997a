"""The kit sees ties that count as right, margins with a wrong sign, and lengths of another side."""

from __future__ import annotations

import pytest
from pydantic import Field

from halo_core import Loss, LossBatch, LossOutput
from halo_core.testing.losses.applied_once import check_applied_once
from halo_core.testing.losses.loss_margins import check_margin, check_ties


class Hinge(Loss):
    """A hinge on the difference of two rewards per token, and a squared form of it."""

    feedback = "paired"
    needs = ("policy_logps", "reference_logps")

    beta: float = Field(default=2.0, gt=0, le=100, description="Reward per nat and token.")
    margin: float = Field(default=1.0, ge=0, le=5, description="Least difference.")
    is_squared: bool = Field(default=False, description="Whether the difference is squared.")

    def __call__(self, batch: LossBatch) -> LossOutput:
        lengths = batch.lengths.to(batch.logratios.dtype)
        rewards = self.beta * batch.logratios / lengths
        chosen, rejected = batch.of_pairs(rewards)
        won = (chosen.detach() > rejected.detach()).sum()
        missing = self.margin - (chosen - rejected)
        losses = missing**2 if self.is_squared else missing.clamp(min=0)
        return LossOutput(losses, rewards=rewards, metrics={"pairs/accuracy": (won, len(chosen))})


class TiesWin(Hinge):
    def __call__(self, batch: LossBatch) -> LossOutput:
        output = super().__call__(batch)
        assert output.rewards is not None
        chosen, rejected = batch.of_pairs(output.rewards.detach())
        metrics = {"pairs/accuracy": ((chosen >= rejected).sum(), len(chosen))}
        return LossOutput(output.losses, rewards=output.rewards, metrics=metrics)


class AddsTheMargin(Hinge):
    def __call__(self, batch: LossBatch) -> LossOutput:
        chosen, rejected = batch.of_pairs(self.beta * batch.logratios)
        return LossOutput((5 - (chosen - rejected) - self.margin).clamp(min=0))


class OneLength(Hinge):
    """Divides both sides by the length of the chosen one."""

    def __call__(self, batch: LossBatch) -> LossOutput:
        lengths = batch.lengths[batch.desirable].to(batch.logratios.dtype)
        chosen, rejected = batch.of_pairs(self.beta * batch.logratios)
        return LossOutput((1 - (chosen - rejected) / lengths).clamp(min=0))


@pytest.mark.parametrize("loss", [Hinge(), Hinge(is_squared=True), Hinge(margin=5.0)])
def test_right_margins_and_accuracies_pass(loss: Loss) -> None:
    check_ties(loss)
    check_margin(loss)
    check_applied_once(loss)


def test_ties_that_count_as_right_are_found() -> None:
    with pytest.raises(AssertionError, match="'pairs/accuracy' is 1 where both completions"):
        check_ties(TiesWin())


def test_a_margin_that_asks_for_less_is_found() -> None:
    with pytest.raises(AssertionError, match=r"with margin=1.25 in place of 1, the loss of a pair"):
        check_margin(AddsTheMargin())


def test_a_side_that_is_divided_by_the_length_of_the_other_is_found_behind_a_hinge() -> None:
    with pytest.raises(AssertionError, match="divides the rejected completion by the length of"):
        check_applied_once(OneLength())
