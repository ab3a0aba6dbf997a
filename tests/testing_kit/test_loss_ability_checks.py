"""The kit's checks of optional abilities: heads, counts, statistics, samples, points."""

import math
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any, ClassVar, Literal

import pytest
import torch
from pydantic import Field
from torch import Tensor

from halo_core import ClassCounts, Head, Loss, LossBatch, LossOutput, RefPointEstimator, Settled
from halo_core.loss import Need
from halo_core.testing import LOSS_CHECKS, check_reference_point, loss_batch, paired_batch
from halo_core.testing.component import check_rules
from halo_core.testing.losses.loss_values import check_value
from halo_core.testing.points.points_within_pairs import WITHIN_PAIR_CHECKS

torch.set_num_threads(1)
EVERY_CHECK = pytest.mark.parametrize("check", LOSS_CHECKS)


def plain(losses: Tensor) -> LossOutput:
    return LossOutput(losses, torch.ones_like(losses).detach())


class Scored(Loss):
    """A scorer with two heads that does not read the policy."""

    feedback: ClassVar = "paired"
    needs: ClassVar = ()

    def heads(self) -> tuple[Head, ...]:
        return (Head("score", at="end"), Head("offset", at="tokens"))

    def __call__(self, batch: LossBatch) -> LossOutput:
        offsets = torch.zeros_like(batch.heads["score"])
        offsets = offsets.index_add(0, batch.sequence_index, batch.heads["offset"])
        scores = batch.heads["score"] + offsets / batch.lengths
        margins = scores[batch.desirable] - scores[~batch.desirable]
        return plain(torch.nn.functional.softplus(-margins))


class Centred(Loss):
    """A loss that centres log-probabilities with the mean over the global batch."""

    feedback: ClassVar = "binary"
    needs: ClassVar = ("policy_logps", "statistics")

    def statistics(self, batch: LossBatch) -> dict[str, Tensor]:
        logps = batch.policy_logps.detach()
        return {"total": logps.sum(), "count": torch.tensor(float(len(logps)))}

    def __call__(self, batch: LossBatch) -> LossOutput:
        mean = batch.statistics["total"] / batch.statistics["count"]
        ahead = batch.policy_logps - mean
        return plain(torch.where(batch.desirable, -ahead, ahead).sigmoid())


class Sampled(Loss):
    """Makes the chosen completion more likely than the rejected one and than a sample."""

    feedback: ClassVar = "paired"
    needs: ClassVar = ("policy_logps", "reference_samples")

    kept: bool = Field(default=True, description="Whether samples play a part.")

    def needed(self) -> tuple[Need, ...]:
        return self.needs if self.kept else ("policy_logps",)

    def __call__(self, batch: LossBatch) -> LossOutput:
        losses = torch.sigmoid(batch.rejected.policy_logps - batch.chosen.policy_logps)
        if self.kept:
            losses = losses - 0.1 * batch.samples.policy_logps / batch.samples.lengths
        return plain(losses)


class Open(Loss):
    """A loss whose weight is not set until the data are counted."""

    feedback: ClassVar = "binary"
    needs: ClassVar = ("policy_logps",)

    weight: float | Literal["auto"] = Field(default="auto", description="A factor.")

    def settle(self, counts: ClassCounts) -> Settled:
        settled = self.model_copy(update={"weight": float(counts.desirable + 1)})
        return Settled(settled, f"{counts.desirable} desirable")

    def __call__(self, batch: LossBatch) -> LossOutput:
        gains = self.weight * batch.policy_logps
        return plain(torch.where(batch.desirable, -gains, gains))


def run_checks(loss: Loss) -> None:
    for check in LOSS_CHECKS:
        check(loss)


@EVERY_CHECK
@pytest.mark.parametrize("loss", [Scored(), Centred(), Sampled(), Sampled(kept=False), Open()])
def test_good_losses_with_abilities_pass(loss: Loss, check: Callable[[Loss], None]) -> None:
    check(loss)


class GreedyNeeded(Sampled):
    def needed(self) -> tuple[Need, ...]:
        return ("policy_logps", "reference_logps")


class TwiceTheSameHead(Scored):
    def heads(self) -> tuple[Head, ...]:
        return (Head("score", at="end"), Head("score", at="tokens"))


class IdleHead(Scored):
    def __call__(self, batch: LossBatch) -> LossOutput:
        scores = batch.heads["score"]
        return plain(torch.sigmoid(scores[~batch.desirable] - scores[batch.desirable]))


class DetachedHead(Scored):
    def __call__(self, batch: LossBatch) -> LossOutput:
        heads = {**batch.heads, "offset": batch.heads["offset"].detach()}
        return super().__call__(replace(batch, heads=heads))


class WrongHeadGradient(Scored):
    def __call__(self, batch: LossBatch) -> LossOutput:
        output = super().__call__(batch)
        return replace(output, losses=output.losses * output.losses.detach())


class OverflowingHead(Scored):
    def __call__(self, batch: LossBatch) -> LossOutput:
        output = super().__call__(batch)
        return replace(output, losses=output.losses + output.losses.exp())


class WritesStatistics(Centred):
    def __call__(self, batch: LossBatch) -> LossOutput:
        output = super().__call__(batch)
        batch.statistics["total"].zero_()
        return output


class MeanStatistics(Centred):
    def statistics(self, batch: LossBatch) -> dict[str, Tensor]:
        return {"total": batch.policy_logps.detach().mean(), "count": torch.tensor(1.0)}


class VectorStatistics(Centred):
    def statistics(self, batch: LossBatch) -> dict[str, Tensor]:
        sums = super().statistics(batch)
        return {**sums, "each": batch.policy_logps.detach()}


class AttachedStatistics(Centred):
    def statistics(self, batch: LossBatch) -> dict[str, Tensor]:
        return {**super().statistics(batch), "extra": batch.policy_token_logps.sum()}


class UnneededSamples(Sampled):
    def needed(self) -> tuple[Need, ...]:
        return ("policy_logps",)


class OwnMean(Centred):
    def __call__(self, batch: LossBatch) -> LossOutput:
        return plain((batch.policy_logps - batch.policy_logps.mean()) ** 2)


class CountsAway(Open):
    def settle(self, counts: ClassCounts) -> Settled:
        return Settled(Scored(), "counted")


class CannotCountNone(Open):
    def settle(self, counts: ClassCounts) -> Settled:
        weight = counts.desirable / counts.undesirable
        return Settled(self.model_copy(update={"weight": weight}), "counted")


class Unwrapped(Open):
    def settle(self, counts: ClassCounts) -> Any:
        return super().settle(counts).loss


class Silent(Open):
    def settle(self, counts: ClassCounts) -> Settled:
        return super().settle(counts)._replace(remark="")


class EmptyCaution(Open):
    def settle(self, counts: ClassCounts) -> Settled:
        return super().settle(counts)._replace(caution="")


class SameTokens(Open):
    def control_tokens(self) -> tuple[str, str]:
        return ("<a>", "<a>")


class BlankToken(Open):
    def control_tokens(self) -> tuple[str, str]:
        return ("<a>", " ")


class InfiniteValue(Open):
    def value(self, gain: float) -> float:
        return float("inf") if gain > 100 else gain


class RaisingValue(Open):
    def value(self, gain: float) -> float:
        return gain**-1.0


class Sated(Loss):
    """Values a gain above 2 less than one of 2, and still asks for it."""

    feedback: ClassVar = "binary"
    needs: ClassVar = ("policy_logps", "reference_logps")

    def value(self, gain: float) -> float:
        return gain * math.exp(-gain / 2) if gain > 0 else gain

    def __call__(self, batch: LossBatch) -> LossOutput:
        gains = torch.where(batch.desirable, batch.logratios, -batch.logratios)
        return LossOutput(torch.sigmoid(-gains), rewards=batch.logratios)


class Turns(Sated):
    """Asks for a gain of 2 and no more, as its value function says."""

    def __call__(self, batch: LossBatch) -> LossOutput:
        gains = torch.where(batch.desirable, batch.logratios, -batch.logratios)
        values = torch.where(gains > 0, gains * torch.exp(-gains / 2), gains)
        return LossOutput(-values, rewards=batch.logratios)


class Overflows(Sated):
    def value(self, gain: float) -> float:
        if 3.0 < gain < 1e3:
            raise OverflowError("too large")
        return min(gain, 3.0)


class ValueOfGainsOnly(Open):
    def value(self, gain: float) -> float | None:
        return gain if gain > 0 else None


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (GreedyNeeded(), "needed() names 'reference_logps', which `needs` does not"),
        (TwiceTheSameHead(), "expected Heads with distinct names"),
        (IdleHead(), "the losses have no gradient for heads.offset; a head without a gradient"),
        (DetachedHead(), "the losses have no gradient for heads.offset; a head without a gradient"),
        (WrongHeadGradient(), "the gradient of the losses is not their derivative"),
        (OverflowingHead(), "expected finite values"),
        (WritesStatistics(), "it changes the batch's statistics['total'] in place"),
        (MeanStatistics(), "Return sums, not means"),
        (VectorStatistics(), "'each' has the shape (4,); expected [], detached"),
        (AttachedStatistics(), "'extra' has the shape (); expected [], detached"),
        (UnneededSamples(), "samples: the loss does not name reference_samples in `needs`"),
        (OwnMean(), "example 0 alone, losses are"),
        (CountsAway(), "gave another loss, Scored; expected a copy of itself"),
        (CannotCountNone(), "settle() raised ZeroDivisionError: division by zero"),
        (Unwrapped(), "returned Unwrapped; expected Settled(loss, remark, caution)"),
        (Silent(), "gives the remark ''; expected a sentence"),
        (EmptyCaution(), "gives the caution ''; expected None or a sentence"),
        (SameTokens(), "control_tokens() gave ('<a>', '<a>'); expected two texts that differ"),
        (BlankToken(), "control_tokens() gave ('<a>', ' '); expected two texts that differ"),
        (InfiniteValue(), "value(10000) is inf; expected a finite float"),
        (RaisingValue(), "value(0) raised ZeroDivisionError"),
        (ValueOfGainsOnly(), "value(-10000) is None; expected a finite float"),
        (Overflows(), "raised OverflowError: too large"),
        (Sated(), "as if people liked the larger gain less, but the loss falls there from"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Loss) else "",
)
def test_a_broken_ability_is_named(loss: Loss, message: str) -> None:
    with pytest.raises(AssertionError, match=re.escape(message)):
        run_checks(loss)


def test_a_value_may_fall_where_the_loss_rises() -> None:
    check_value(Turns())


class Pointed(Loss):
    """A loss with a reference point that it may treat badly."""

    feedback: ClassVar = "binary"
    needs: ClassVar = ("policy_logps", "reference_logps", "reference_point")
    default_reference_point: ClassVar = "zero"

    treats: Literal["well", "detached", "as one"] = Field(default="well", description="How.")

    def __call__(self, batch: LossBatch) -> LossOutput:
        point = batch.reference_point
        if self.treats == "detached":
            point = point.detach()
        if self.treats == "as one":
            point = float(point)
        gains = batch.logratios - point
        return plain(torch.where(batch.desirable, torch.sigmoid(-gains), torch.sigmoid(gains)))


def test_a_loss_that_lets_the_gradient_of_points_flow_passes() -> None:
    run_checks(Pointed())


@pytest.mark.parametrize(
    ("treats", "message"),
    [
        ("detached", "with a reference point of each completion, whose gradient must flow"),
        ("as one", "a call on a mixed batch raised ValueError: only one element"),
    ],
)
def test_a_loss_that_takes_no_point_of_each_completion_is_named(treats: str, message: str) -> None:
    with pytest.raises(AssertionError, match=re.escape(message)):
        run_checks(Pointed(treats=treats))


def within(function: Callable[[Tensor, Tensor], Tensor]) -> RefPointEstimator:
    """An estimator within pairs, by a function."""

    class Within(RefPointEstimator):
        observes: ClassVar = "pair"

        def within_pair(self, chosen_logratios: Tensor, rejected_logratios: Tensor) -> Tensor:
            return function(chosen_logratios, rejected_logratios)

    return Within()


def test_good_points_within_pairs_pass() -> None:
    for check in WITHIN_PAIR_CHECKS:
        check(within(lambda chosen, rejected: rejected))
        check(within(lambda chosen, rejected: (chosen + rejected).relu() / 2))
        check(within(lambda chosen, rejected: torch.zeros_like(chosen)))


def test_an_estimator_that_stops_its_gradient_says_so() -> None:
    class Stopped(RefPointEstimator):
        observes: ClassVar = "pair"
        left_out: str = Field(description="A rule that it leaves out.")

        def unchecked_rules(self) -> dict[str, str]:
            return {self.left_out: "the points are constants in the gradient"}

        def within_pair(self, chosen_logratios: Tensor, rejected_logratios: Tensor) -> Tensor:
            return rejected_logratios.detach()

    for rule in ("within-pair", "within-pair-gradient"):
        check_rules(Stopped(left_out=rule), WITHIN_PAIR_CHECKS)
    with pytest.raises(AssertionError, match="Do not detach a log-ratio"):
        check_rules(Stopped(left_out="elsewhere"), WITHIN_PAIR_CHECKS)


def clamped_through_data(chosen: Tensor, rejected: Tensor) -> Tensor:
    rejected.data.clamp_(min=-10.0)
    return rejected


def doubled_and_set_back(chosen: Tensor, rejected: Tensor) -> Tensor:
    if not rejected.requires_grad:
        rejected.mul_(2).div_(2)
    return rejected.clone()


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (doubled_and_set_back, "it changes the rejected log-ratios in place"),
        (lambda chosen, rejected: rejected.mean(), "the shape is (); expected (5,)"),
        (lambda chosen, rejected: rejected - rejected.mean(), "depends on the other pairs"),
        (lambda chosen, rejected: rejected.minimum(rejected.mean() + 20.0), "pairs of its micro"),
        (lambda chosen, rejected: rejected.exp(), "not finite at log-ratios of 10000"),
        (lambda chosen, rejected: rejected * rejected.detach(), "the gradient is not the deriva"),
        (lambda chosen, rejected: rejected[99], "within_pair() raised IndexError"),
        (lambda chosen, rejected: rejected.detach(), "Do not detach a log-ratio"),
        (lambda chosen, rejected: 0.5 * chosen, "no rejected log-ratio changes a point"),
        (clamped_through_data, "it changes the rejected log-ratios in place"),
    ],
)
def test_points_within_pairs_that_break_a_rule_are_named(
    function: Callable[[Tensor, Tensor], Tensor], message: str
) -> None:
    with pytest.raises(AssertionError, match=re.escape(message)):
        check_rules(within(function), WITHIN_PAIR_CHECKS)


def test_an_estimator_within_pairs_is_checked_there(monkeypatch: pytest.MonkeyPatch) -> None:
    # this module imports torch at its top, which a component's module must not
    monkeypatch.setattr(
        "halo_core.testing.points.reference_points.check_component", lambda component: None
    )

    check_reference_point(within(lambda chosen, rejected: rejected))
    with pytest.raises(AssertionError, match="within_pair\\(\\): the shape is"):
        check_reference_point(within(lambda chosen, rejected: rejected.mean()))


def test_batches_hold_samples_heads_statistics_and_points() -> None:
    batch = loss_batch(
        [[-1.0, -2.0], [-3.0]],
        reference_point=[0.5, 1.5],
        sampled=[False, True],
        heads={"value": [1.0, 2.0, 3.0], "score": [4.0, 5.0]},
        statistics={"count": 3.0},
        dtype="float32",
    )

    assert batch.reference_point.tolist() == [0.5, 1.5]
    assert batch.samples.policy_logps.tolist() == [-3.0]
    assert batch.heads["value"].tolist() == [1.0, 2.0, 3.0]
    assert batch.heads["score"].dtype == torch.float32
    assert batch.statistics["count"].item() == 3.0


def test_a_paired_batch_may_have_samples_behind_each_pair() -> None:
    batch = paired_batch([[-1.0], [-2.0]], [[-3.0], [-4.0]], samples=[[-5.0], [-6.0, -1.0]])

    assert batch.policy_logps.tolist() == [-1.0, -3.0, -5.0, -2.0, -4.0, -7.0]
    assert batch.example_index.tolist() == [0, 0, 0, 1, 1, 1]
    assert batch.rejected.policy_logps.tolist() == [-3.0, -4.0]
    assert batch.samples.lengths.tolist() == [1.0, 2.0]


def test_samples_that_disagree_are_refused() -> None:
    with pytest.raises(ValueError, match="policy has 2 completions, sampled 1"):
        loss_batch([[-1.0], [-2.0]], sampled=[True])
    with pytest.raises(ValueError, match="give samples or ref_chosen and ref_rejected; with both"):
        paired_batch(
            [[-1.0]], [[-1.0]], ref_chosen=[[-1.0]], ref_rejected=[[-1.0]], samples=[[-1.0]]
        )
