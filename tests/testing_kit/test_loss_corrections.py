"""The rule that a loss corrects a policy that is wrong, and those about points and weights."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, ClassVar

import pytest
from pydantic import Field

from halo_core import Loss, LossBatch, LossOutput
from halo_core.testing.advice import KitAdvice
from halo_core.testing.losses.loss_corrections import check_corrects
from halo_core.testing.losses.loss_reports import check_other_options
from halo_core.testing.losses.rules import check_group_order

if TYPE_CHECKING:
    from torch import Tensor


class Gains(Loss):
    """A loss on gains, which keeps the rules."""

    feedback: ClassVar = "binary"
    needs: ClassVar = ("policy_logps", "reference_logps", "reference_point")
    default_reference_point: ClassVar = "mismatched-kl"

    def __call__(self, batch: LossBatch) -> LossOutput:
        return LossOutput(self.losses(batch), self.weights(batch))

    def losses(self, batch: LossBatch) -> Tensor:
        from torch.nn.functional import softplus

        gains = self.gains(batch)
        return softplus(gains.where(~batch.desirable, -gains))

    def gains(self, batch: LossBatch) -> Tensor:
        assert batch.reference_point is not None
        return batch.logratios - batch.reference_point

    def weights(self, batch: LossBatch) -> Any:
        return None


class AddsThePoint(Gains):
    def gains(self, batch: LossBatch) -> Tensor:
        assert batch.reference_point is not None
        return batch.logratios + batch.reference_point


class Clamps(Gains):
    def gains(self, batch: LossBatch) -> Tensor:
        return super().gains(batch).clamp(-0.2, 2.0)


class FirstHalf(Gains):
    def losses(self, batch: LossBatch) -> Tensor:
        losses = super().losses(batch)
        return losses * (losses.new_ones(len(losses)).cumsum(0) <= (len(losses) + 1) // 2)


class OnlyDesirable(Gains):
    def weights(self, batch: LossBatch) -> Any:
        return batch.desirable.double()


class OnlyUndesirable(Gains):
    """Unlearns completions, as negative preference optimization does."""

    def weights(self, batch: LossBatch) -> Any:
        return (~batch.desirable).double()


class Weighs(Gains):
    aversion: float = Field(default=1.5, gt=0, le=10, description="Weight of what is undesirable.")

    def weights(self, batch: LossBatch) -> Any:
        weights = batch.logratios.detach().new_full((len(batch.desirable),), self.aversion - 1)
        return weights.where(~batch.desirable, weights.new_ones(()))


class Ranks(Loss):
    """Ranks scores by their places, also if they are equal."""

    feedback: ClassVar = "scored"
    needs: ClassVar = ("policy_logps", "scores")

    def __call__(self, batch: LossBatch) -> LossOutput:
        assert batch.scores is not None
        places = batch.scores.argsort(stable=True).argsort().to(batch.policy_logps.dtype)
        return LossOutput(batch.of_examples(-places * batch.policy_logps))


def test_a_right_loss_keeps_the_rule() -> None:
    check_corrects(Gains())


@pytest.mark.parametrize(
    ("loss", "check", "message"),
    [
        (AddsThePoint(), check_corrects, "falls with its log-ratio and with the reference point"),
        (Clamps(), check_corrects, "by 1 nats: a desirable completion (row 0) has no gradient"),
        (FirstHalf(), check_corrects, "a desirable completion (row 2) has no gradient"),
        (Weighs(), check_other_options, "weights are [1.0, -0.25, 1.0, -0.25]; expected at least"),
        (Ranks(), check_group_order, "on a batch with equal scores, with the completions of each"),
    ],
)
def test_a_broken_loss_is_named(loss: Loss, check: Any, message: str) -> None:
    with pytest.raises(AssertionError, match=re.escape(message)):
        check(loss)


@pytest.mark.parametrize(
    ("loss", "side"), [(OnlyDesirable(), "undesirable"), (OnlyUndesirable(), "desirable")]
)
def test_a_loss_that_learns_from_one_side_only_gets_advice(loss: Loss, side: str) -> None:
    with pytest.warns(KitAdvice, match=f"no {side} completion has a gradient"):
        check_corrects(loss)
