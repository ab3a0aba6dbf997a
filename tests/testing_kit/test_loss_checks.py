import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any, ClassVar

import pytest
import torch
from pydantic import Field

from halo_core import Loss, LossBatch, LossOutput
from halo_core.testing import LOSS_CHECKS, loss_batch, paired_batch
from halo_core.testing.component import check_rules
from halo_core.testing.losses.loss_reports import check_reported, outputs_of

torch.set_num_threads(1)

Change = Callable[[LossBatch, LossOutput], Any]
"""Change of a good loss's output by a broken loss."""


class Good(Loss):
    """A loss that follows every rule: KTO with a given reference point."""

    feedback: ClassVar = "binary"
    needs: ClassVar = ("policy_logps", "reference_logps", "reference_point")
    default_reference_point: ClassVar = "zero"

    beta: float = Field(default=0.1, gt=0, description="Reward per nat.")

    def __call__(self, batch: LossBatch) -> LossOutput:
        gains = self.beta * (batch.logratios - batch.reference_point)
        losses = torch.where(batch.desirable, torch.sigmoid(-gains), torch.sigmoid(gains))
        count = torch.tensor(float(len(losses)))
        metrics = {"losses/mean": (losses.detach().sum(), count)}
        rewards = self.beta * batch.logratios.detach()
        return LossOutput(losses, torch.ones_like(losses).detach(), rewards, metrics)


def bad_loss(change: Change) -> Loss:
    """A loss whose output is the good one's after a change."""

    class Bad(Loss):
        feedback: ClassVar = "binary"
        needs: ClassVar = Good.needs
        default_reference_point: ClassVar = "zero"

        def __call__(self, batch: LossBatch) -> LossOutput:
            return change(batch, Good()(batch))

    return Bad()


def run_checks(loss: Loss) -> None:
    for check in LOSS_CHECKS:
        check(loss)


def squared_by_hand(losses: torch.Tensor) -> torch.Tensor:
    return losses * losses.detach()


@pytest.mark.parametrize("check", LOSS_CHECKS)
def test_a_good_loss_passes(check: Callable[[Loss], None]) -> None:
    check(Good())


@pytest.mark.parametrize("check", LOSS_CHECKS)
@pytest.mark.parametrize(
    "change",
    [
        lambda batch, out: replace(out, weights=None),
        lambda batch, out: replace(out, rewards=batch.logratios),
        lambda batch, out: replace(out, metrics={"losses/m": (out.losses.sum(), len(out.losses))}),
    ],
    ids=["without weights", "rewards with a gradient", "a number as a count"],
)
def test_what_the_trainer_does_itself_need_not_be_done(
    check: Callable[[Loss], None], change: Change
) -> None:
    check(bad_loss(change))


BROKEN: dict[str, tuple[Change, str]] = {
    "a number comes back": (
        lambda batch, out: out.losses.sum(),
        "returned Tensor; expected LossOutput",
    ),
    "the mean comes back": (
        lambda batch, out: replace(out, losses=out.losses.mean()),
        "losses: the shape is (); expected (4,)",
    ),
    "a column comes back": (
        lambda batch, out: replace(out, losses=out.losses[:, None]),
        "losses: the shape is (4, 1); expected (4,)",
    ),
    "weights are too few": (
        lambda batch, out: replace(out, weights=out.weights[:1]),
        "weights: the shape is (1,); expected (4,)",
    ),
    "losses are constant": (
        lambda batch, out: replace(out, losses=out.losses.detach()),
        "losses have no gradient",
    ),
    "weights carry a gradient": (
        lambda batch, out: replace(out, weights=out.losses),
        "weights: expected no gradient; use .detach()",
    ),
    "weights are negative": (
        lambda batch, out: replace(out, weights=-out.weights),
        "expected finite values of at least 0",
    ),
    "rewards are by example of one class": (
        lambda batch, out: replace(out, rewards=out.rewards[batch.desirable]),
        "rewards: the shape is (2,); expected (4,)",
    ),
    "a metric is a vector": (
        lambda batch, out: replace(out, metrics={"losses/m": (torch.tensor(1.0), out.weights)}),
        "it gave the count of the metric 'losses/m' of the shape (4,); expected []",
    ),
    "a metric is one number": (
        lambda batch, out: replace(out, metrics={"losses/m": out.losses.sum()}),
        "it gave the metric 'losses/m' as Tensor; expected a pair (sum, count)",
    ),
    "the gradient is not the derivative": (
        lambda batch, out: replace(out, losses=squared_by_hand(out.losses)),
        "the gradient of the losses is not their derivative",
    ),
    "extremes overflow": (
        lambda batch, out: replace(out, losses=out.losses + (0.01 * batch.logratios).exp()),
        "expected finite values",
    ),
    "only the gradient overflows": (
        lambda batch, out: replace(
            out, losses=out.losses + (1 + (0.01 * batch.logratios).exp()).log().clamp(max=50)
        ),
        "the gradient is not finite",
    ),
    "the sign is wrong": (
        lambda batch, out: replace(out, losses=1 - out.losses),
        "Is a sign wrong?",
    ),
    "the device is forgotten": (
        lambda batch, out: replace(out, losses=out.losses + torch.zeros(len(out.losses))),
        "with CPU inputs and another default device",
    ),
    "losses are in float64": (
        lambda batch, out: replace(out, losses=out.losses.double()),
        "with inputs in bfloat16, losses are in float64; expected bfloat16",
    ),
    "weights are in float32": (
        lambda batch, out: replace(out, weights=out.weights.float()),
        "with inputs in bfloat16, weights are in float32; expected bfloat16",
    ),
    "the order matters": (
        lambda batch, out: replace(out, losses=out.losses * torch.arange(1.0, len(out.losses) + 1)),
        "in another order, losses are",
    ),
    "the other examples matter": (
        lambda batch, out: replace(out, losses=out.losses - out.losses.mean()),
        "example 0 alone, losses are",
    ),
    "weights depend on the micro-batch": (
        lambda batch, out: replace(out, weights=out.weights / len(out.weights)),
        "example 0 alone, weights are",
    ),
    "an empty class is divided by": (
        lambda batch, out: replace(out, weights=out.weights / batch.desirable.sum()),
        "weights are [inf]; expected finite values",
    ),
    "a batch of one is refused": (
        lambda batch, out: replace(out, losses=out.losses + 0 * batch.policy_logps[1]),
        "a call on one example raised IndexError",
    ),
    "the batch is changed": (
        lambda batch, out: (batch.desirable.logical_not_(), out)[1],
        "it changes the batch's desirable in place",
    ),
    "chance plays a part": (
        lambda batch, out: (torch.rand(()), out)[1],
        "it draws random numbers",
    ),
}


def clamps_in_place(batch: LossBatch, out: LossOutput) -> LossOutput:
    batch.policy_token_logps.data.clamp_(min=-1e3)
    return out


def wants_a_gradient_of_the_reference(batch: LossBatch, out: LossOutput) -> LossOutput:
    batch.reference_token_logps.requires_grad_()
    return out


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (clamps_in_place, "on log-ratios of -10000: it changes the batch's policy_token_logps"),
        (wants_a_gradient_of_the_reference, "it sets requires_grad of the batch's reference_tok"),
    ],
    ids=["through data at the extremes only", "requires_grad of the reference"],
)
def test_a_changed_input_is_named(change: Change, message: str) -> None:
    with pytest.raises(AssertionError, match=re.escape(message)):
        run_checks(bad_loss(change))


def test_a_rule_that_a_component_leaves_out_is_not_checked() -> None:
    class Opposite(Good):
        def unchecked_rules(self) -> dict[str, str]:
            return {"direction": "it makes bad completions more likely on purpose"}

        def __call__(self, batch: LossBatch) -> LossOutput:
            output = super().__call__(batch)
            return replace(output, losses=1 - output.losses)

    check_rules(Opposite(), LOSS_CHECKS)
    with pytest.raises(AssertionError, match="sign"):
        run_checks(Opposite())


@pytest.mark.parametrize(("change", "message"), BROKEN.values(), ids=BROKEN)
def test_a_broken_rule_is_named(change: Change, message: str) -> None:
    with pytest.raises(AssertionError, match=re.escape(message)):
        run_checks(bad_loss(change))


@pytest.mark.parametrize("rule", [check_reported, outputs_of])
@pytest.mark.parametrize(
    ("metrics", "message"),
    [
        ({"losses/m": torch.tensor(1.0)}, "the metric 'losses/m' as Tensor; expected a pair"),
        ({"losses/m": 1.0}, "the metric 'losses/m' as float; expected a pair"),
        ({"losses/m": None}, "the metric 'losses/m' as None; expected a pair"),
        ({"losses/m": (torch.ones(4), 4)}, "metric 'losses/m' of the shape (4,); expected []"),
        ({"losses/m": ("x", 1)}, "the sum of the metric 'losses/m' as str; expected a number"),
        ([("losses/m", 1.0, 1)], "gave metrics that are list; expected name to (sum, count)"),
    ],
)
def test_each_rule_that_reads_metrics_says_that_they_are_no_pairs(
    rule: Callable[[Loss], object], metrics: Any, message: str
) -> None:
    with pytest.raises(AssertionError, match=re.escape(message)):
        rule(bad_loss(lambda batch, out: replace(out, metrics=metrics)))


def test_unknown_needs_are_named() -> None:
    class Greedy(Loss):
        feedback: ClassVar = "binary"
        needs: ClassVar = ("logits",)

        def __call__(self, batch: LossBatch) -> LossOutput: ...

    with pytest.raises(AssertionError, match="needs 'logits'; known:"):
        run_checks(Greedy())


def test_a_needed_reference_point_wants_a_default() -> None:
    class Pointless(Loss):
        feedback: ClassVar = "binary"
        needs: ClassVar = ("policy_logps", "reference_point")

        def __call__(self, batch: LossBatch) -> LossOutput: ...

    with pytest.raises(AssertionError, match="set default_reference_point"):
        run_checks(Pointless())


def test_what_needs_does_not_name_is_not_there() -> None:
    class Shy(Loss):
        feedback: ClassVar = "binary"
        needs: ClassVar = ("policy_logps",)

        def __call__(self, batch: LossBatch) -> LossOutput:
            return LossOutput(batch.logratios, batch.lengths)

    with pytest.raises(AssertionError, match="reference_logps: the loss does not name it in"):
        run_checks(Shy())


def test_feedback_without_batches_is_named() -> None:
    class Prompted(Loss):
        feedback: ClassVar = "prompts"
        needs: ClassVar = ("policy_logps",)

        def __call__(self, batch: LossBatch) -> LossOutput: ...

    with pytest.raises(AssertionError, match="feedback is 'prompts'; expected one of text, demon"):
        run_checks(Prompted())


class Ranked(Loss):
    """A loss on groups: the mean reward of each, weighted by scores below the mean."""

    feedback: ClassVar = "scored"
    needs: ClassVar = ("policy_logps", "scores", "sampler_logps")

    def weights_of(self, batch: LossBatch) -> torch.Tensor:
        assert batch.scores is not None
        means = batch.of_examples(batch.scores) / batch.group_sizes
        below = means[batch.example_index] - batch.scores
        return below.to(batch.policy_token_logps.dtype)

    def __call__(self, batch: LossBatch) -> LossOutput:
        assert batch.sampler_token_logps is not None
        ratios = batch._summed(batch.policy_token_logps - batch.sampler_token_logps)
        losses = batch.of_examples(self.weights_of(batch) * (0.1 * ratios).tanh())
        return LossOutput(losses / batch.group_sizes)


class Ordered(Ranked):
    """Counts only the first completion of each group."""

    def weights_of(self, batch: LossBatch) -> torch.Tensor:
        first = torch.ones_like(batch.example_index)
        first[1:] = batch.example_index.diff().clamp(max=1)
        return first.double()


def test_losses_on_groups_are_checked_with_groups_of_different_sizes() -> None:
    run_checks(Ranked())
    with pytest.raises(AssertionError, match="with the completions of each group in another orde"):
        run_checks(Ordered())


def test_batches_of_groups_are_checked_and_cut() -> None:
    batch = loss_batch([[-1.0], [-2.0], [-1.0, -1.0]], examples=[0, 0, 1], scores=[3.0, 1.0, 2.0])
    assert (batch.examples, batch.group_sizes.tolist()) == (2, [2.0, 1.0])
    assert batch.scores is not None
    assert batch.of_examples(batch.scores).tolist() == [4.0, 2.0]
    part = batch.only(torch.tensor([True, False, True]))
    assert part.scores is not None
    assert (part.scores.tolist(), part.example_index.tolist()) == ([3.0, 2.0], [0, 1])
    with pytest.raises(ValueError, match="policy has 2 completions, scores 1"):
        loss_batch([[-1.0], [-2.0]], scores=[1.0])
    with pytest.raises(ValueError, match=r"policy has completions of \[1\] tokens, sampler of"):
        loss_batch([[-1.0]], sampler=[[-1.0, -2.0]])


def test_a_paired_batch_has_the_chosen_completion_first() -> None:
    batch = paired_batch([[-1.0], [-2.0]], [[-3.0, -1.0], [-5.0]])

    assert batch.policy_logps.tolist() == [-1.0, -4.0, -2.0, -5.0]
    assert batch.desirable.tolist() == [True, False, True, False]
    assert batch.example_index.tolist() == [0, 0, 1, 1]
    assert batch.chosen.lengths.tolist() == [1.0, 1.0]


def test_a_batch_holds_what_its_lists_say() -> None:
    batch = loss_batch(
        [[-1.0, -2.0], [-3.0]],
        reference=[[-1.0, -1.0], [-1.0]],
        desirable=[False, True],
        reference_point=0.5,
        dtype="float32",
    )

    assert batch.logratios.tolist() == [-1.0, -2.0]
    assert batch.desirable.tolist() == [False, True]
    assert batch.reference_point.item() == 0.5
    assert batch.policy_token_logps.dtype == torch.float32


def test_lists_that_disagree_are_refused() -> None:
    with pytest.raises(ValueError, match="policy has 2 completions, desirable 1, examples 2"):
        loss_batch([[-1.0], [-2.0]], desirable=[True])
    with pytest.raises(ValueError, match=r"completions of \[1\] tokens, reference of \[2\]"):
        loss_batch([[-1.0]], reference=[[-1.0, -1.0]])
    with pytest.raises(ValueError, match="give both ref_chosen and ref_rejected, or neither"):
        paired_batch([[-1.0]], [[-1.0]], ref_chosen=[[-1.0]])
