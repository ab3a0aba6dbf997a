"""The kit finds losses that apply an option twice, count pairs wrongly, or have bounds too wide."""

import re
from collections.abc import Callable
from typing import Any, ClassVar

import pytest
import torch
from pydantic import Field
from torch.nn.functional import softplus

from halo_core import Loss, LossBatch, LossOutput
from halo_core.testing.losses.applied_once import check_applied_once
from halo_core.testing.losses.loss_abilities import check_abilities
from halo_core.testing.losses.loss_corrections import check_corrects
from halo_core.testing.losses.loss_inputs import check_direction
from halo_core.testing.losses.loss_reports import check_reported

torch.set_num_threads(1)


class Pairs(Loss):
    """A logistic loss on pairs, with a fault."""

    feedback: ClassVar = "paired"
    needs: ClassVar = ("policy_logps", "reference_logps")
    beta: float = Field(default=0.5, gt=0, le=10, description="Reward per nat.")
    noise: float = Field(default=0.1, ge=0, lt=0.5, description="Share of wrong labels.")
    fault: str = Field(default="", description="The fault of the loss.")

    def __call__(self, batch: LossBatch) -> LossOutput:
        rewards = self.beta * batch.logratios
        used = self.beta * rewards if self.fault == "beta twice" else rewards
        if self.fault == "other length":
            lengths = torch.stack(batch.of_pairs(batch.lengths)[::-1], 1).flatten()
            used = used / lengths.to(used.dtype)
        chosen, rejected = batch.of_pairs(used)
        margins = chosen - rejected
        losses = (1 - self.noise) * softplus(-margins) + self.noise * softplus(margins)
        if self.fault == "underflow":
            losses = -margins.sigmoid().clamp(min=1e-9).log()
        right = (margins.detach() > 0).to(losses.dtype).sum()
        count = len(rewards) if self.fault == "completions" else len(margins)
        factor = 100 if self.fault == "percent" else 1
        metrics = {"pairs/accuracy": (factor * right, count)}
        return LossOutput(losses, rewards=rewards, metrics=metrics)


class Averse(Loss):
    """A loss with a weight for undesirable completions, which may count twice."""

    feedback: ClassVar = "binary"
    needs: ClassVar = ("policy_logps", "reference_logps")
    aversion: float = Field(default=1.5, gt=0, le=100, description="Weight of undesirable ones.")
    twice: bool = Field(default=False, description="Whether it counts in the losses, too.")
    says: bool = Field(default=True, description="Whether it says that it has weights.")

    def weighs_examples(self) -> bool:
        return self.says

    def __call__(self, batch: LossBatch) -> LossOutput:
        rewards = batch.logratios
        factor = self.aversion if self.twice else 1.0
        losses = torch.where(batch.desirable, softplus(-rewards), factor * softplus(rewards))
        weights = torch.where(batch.desirable, 1.0, self.aversion).to(losses.dtype)
        return LossOutput(losses, weights, rewards)


class Pointed(Loss):
    """Scales the log-ratio by beta twice, and the reference point once."""

    feedback: ClassVar = "binary"
    needs: ClassVar = ("policy_logps", "reference_logps", "reference_point")
    default_reference_point: ClassVar = "zero"
    beta: float = Field(default=0.5, gt=0, le=10, description="Reward per nat.")

    def __call__(self, batch: LossBatch) -> LossOutput:
        rewards = self.beta * batch.logratios
        gains = self.beta * (rewards - batch.reference_point)
        losses = torch.where(batch.desirable, softplus(-gains), softplus(gains))
        return LossOutput(losses, rewards=rewards)


class Mislabelled(Pairs):
    """Its bounds allow more wrong labels than right ones."""

    noise: float = Field(default=0.1, ge=0, le=1, description="Share of wrong labels.")


@pytest.mark.parametrize(
    ("check", "loss", "message"),
    [
        (check_applied_once, Pairs(fault="beta twice"), "'beta' scales the rewards once and the"),
        (check_applied_once, Pointed(), "'beta' scales the rewards once and the"),
        (
            check_applied_once,
            Pairs(fault="other length"),
            "the loss divides the chosen completion by the length of the rejected one",
        ),
        (check_applied_once, Averse(twice=True), "both 2 times as large, so the option counts"),
        (check_abilities, Averse(says=False), "and weighs_examples() is False; expected True"),
        (check_reported, Pairs(fault="completions"), "counts 2, so it is never more than 0.5"),
        (check_reported, Pairs(fault="percent"), "'pairs/accuracy' is 100 for an example"),
        (check_direction, Mislabelled(), "noise=1.0, fault=''): on a policy that equals its"),
        (check_corrects, Pairs(fault="underflow"), "by 30 nats: completion 0 has no gradient"),
    ],
    ids=lambda each: getattr(each, "__name__", None),
)
def test_a_fault_is_named(check: Callable[[Loss], None], loss: Loss, message: str) -> None:
    with pytest.raises(AssertionError, match=re.escape(message)):
        check(loss)


@pytest.mark.parametrize("loss", [Pairs(), Averse()], ids=repr)
def test_the_same_losses_without_a_fault_keep_the_rules(loss: Any) -> None:
    for check in (check_applied_once, check_abilities, check_reported, check_direction):
        check(loss)
    check_corrects(loss)
