"""The kit sees which inputs a loss changes and uses, and what its rewards and metrics say."""

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, ClassVar

import pytest
import torch
from pydantic import Field

from halo_core import Loss, LossBatch, LossOutput
from halo_core.loss import Need
from halo_core.testing.advice import KitAdvice
from halo_core.testing.losses.loss_inputs import check_direction, check_untouched
from halo_core.testing.losses.loss_needs import check_needs
from halo_core.testing.losses.loss_reports import check_long_completions, check_other_options
from halo_core.testing.losses.loss_rewards import check_rewards
from halo_core.testing.losses.rules import check_output

torch.set_num_threads(1)


class Pairs(Loss):
    """A right loss on pairs."""

    feedback: ClassVar = "paired"
    needs: ClassVar[tuple[Need, ...]] = ("policy_logps", "reference_logps")

    def __call__(self, batch: LossBatch) -> LossOutput:
        rewards = 0.5 * batch.logratios
        chosen, rejected = batch.of_pairs(rewards)
        pairs = (len(chosen), len(chosen))
        return LossOutput((rejected - chosen).sigmoid(), rewards=rewards, metrics={"a/b_c": pairs})


def changed(change: Callable[[LossBatch, LossOutput], Any]) -> Loss:
    class Changed(Pairs):
        def __call__(self, batch: LossBatch) -> LossOutput:
            return change(batch, super().__call__(batch))

    return Changed()


def calls_backward(batch: LossBatch, output: LossOutput) -> LossOutput:
    if output.losses.requires_grad:
        output.losses.sum().backward(retain_graph=True)
    return output


def turns_gradients_on(_: LossBatch, output: LossOutput) -> LossOutput:
    torch.set_grad_enabled(True)
    return output


def writes_through_numpy(batch: LossBatch, output: LossOutput) -> LossOutput:
    batch.reference_token_logps.float().numpy()[:] -= 0.1
    return output


def needs_gradients(_: LossBatch, output: LossOutput) -> LossOutput:
    return replace(
        output, losses=output.losses if output.losses.requires_grad else output.losses * 2
    )


class NeedsMore(Pairs):
    """Needs the model that sampled, and does not read it."""

    needs: ClassVar[tuple[Need, ...]] = ("policy_logps", "reference_logps", "sampler_logps")


class NeedsMoreByDefault(Pairs):
    """Reads the reference only with another value of an option."""

    pull: float = Field(default=0.0, ge=0, le=1, description="Weight of the reference.")

    def __call__(self, batch: LossBatch) -> LossOutput:
        chosen, rejected = batch.of_pairs(batch.policy_logps - self.pull * batch.reference_logps)
        return LossOutput((rejected - chosen).sigmoid())


class Unlearned(Loss):
    """Has an option of examples whose weight is 0."""

    feedback: ClassVar = "binary"
    needs: ClassVar = ("policy_logps",)
    strength: float = Field(default=0.5, gt=0, le=1, description="Factor of bad completions.")

    def __call__(self, batch: LossBatch) -> LossOutput:
        losses = (-batch.policy_logps).where(batch.desirable, self.strength * batch.policy_logps)
        return LossOutput(losses, batch.desirable.to(losses.dtype))


class Whitened(Loss):
    """Compares scores with their mean over the global batch, so a best one may be a bad one."""

    feedback: ClassVar = "scored"
    needs: ClassVar = ("policy_logps", "scores", "statistics")

    def statistics(self, batch: LossBatch) -> Mapping[str, torch.Tensor]:
        assert batch.scores is not None
        return {
            "sum": batch.scores.sum(),
            "count": batch.scores.new_tensor(float(len(batch.scores))),
        }

    def __call__(self, batch: LossBatch) -> LossOutput:
        assert batch.scores is not None
        ahead = batch.scores - batch.statistics["sum"] / batch.statistics["count"]
        ahead = ahead.to(batch.policy_token_logps.dtype)
        return LossOutput(-batch.of_examples(ahead * batch.policy_logps / batch.lengths))


class WhitenedBackwards(Whitened):
    """Has the wrong sign."""

    def __call__(self, batch: LossBatch) -> LossOutput:
        return LossOutput(-super().__call__(batch).losses)


@pytest.fixture(autouse=True)
def _gradients_on() -> Any:
    yield
    torch.set_grad_enabled(True)


@pytest.mark.parametrize("check", [check_untouched, check_needs, check_rewards, check_output])
def test_a_right_loss_passes(check: Callable[[Loss], None]) -> None:
    check(Pairs())


def test_a_loss_that_compares_with_the_global_batch_has_the_right_direction() -> None:
    check_direction(Whitened())


def with_metric(name: str, total: float, count: float) -> Loss:
    return changed(lambda _, out: replace(out, metrics={name: (total, count)}))


BROKEN: dict[str, tuple[Callable[[Loss], None], Loss, str]] = {
    "a gradient of its own": (
        check_untouched,
        changed(calls_backward),
        "after the call, policy_token_logps has a gradient already",
    ),
    "gradients in an evaluation": (
        check_untouched,
        changed(turns_gradients_on),
        "it turns gradients on for all code after it, where they were off",
    ),
    "other losses in an evaluation": (
        check_untouched,
        changed(needs_gradients),
        "where gradients are off, as in an evaluation, losses are",
    ),
    "the memory of numpy": (
        check_untouched,
        changed(writes_through_numpy),
        "it changes the batch's reference_token_logps in place",
    ),
    "an unused need": (
        check_needs,
        NeedsMore(),
        "needs 'sampler_logps', and no value of it changes a loss, a weight, a reward or a metric",
    ),
    "swapped rewards": (
        check_rewards,
        changed(lambda _, out: replace(out, rewards=out.rewards.view(-1, 2).flip(1).flatten())),
        "no reward changes when its own completion becomes more likely",
    ),
    "lengths as rewards": (
        check_rewards,
        changed(lambda batch, out: replace(out, rewards=batch.lengths)),
        "no reward changes when its own completion becomes more likely",
    ),
    "a wrong sign with statistics": (check_direction, WhitenedBackwards(), "Is a sign wrong?"),
    "a blank in a name": (
        check_output,
        with_metric("a/b c", 1.0, 2.0),
        "it names a metric 'a/b c'; expected the form section/name",
    ),
    "a slash at the end of a name": (
        check_output,
        with_metric("accuracy/", 1.0, 2.0),
        "it names a metric 'accuracy/'; expected the form section/name",
    ),
    "a sum without a count": (
        check_output,
        with_metric("a/b", 1.0, 0.0),
        "the metric 'a/b' has the sum 1.0 and the count 0.0; expected a count above 0",
    ),
}


@pytest.mark.parametrize(("check", "loss", "message"), BROKEN.values(), ids=BROKEN)
def test_a_broken_loss_is_named(check: Callable[[Loss], None], loss: Loss, message: str) -> None:
    with pytest.raises(AssertionError, match=re.escape(message)):
        check(loss)


def test_a_metric_of_nothing_has_the_sum_and_the_count_zero() -> None:
    check_output(with_metric("a/b", 0.0, 0.0))


def test_an_input_that_only_other_options_use_is_advice() -> None:
    with pytest.warns(KitAdvice, match="no value of reference_logps changes an output"):
        check_needs(NeedsMoreByDefault())


def test_an_option_of_examples_without_weight_has_no_effect() -> None:
    with pytest.warns(KitAdvice, match="no other value of option 'strength' changes an output"):
        check_other_options(Unlearned())


class Discounted(Pairs):
    """Weighs each token with a part of the weight of the token before."""

    def __call__(self, batch: LossBatch) -> LossOutput:
        tokens = batch.policy_token_logps - batch.reference_token_logps
        sums = []
        for row in range(len(batch.desirable)):
            mine = tokens[batch.sequence_index == row]
            sums.append((0.5 ** torch.arange(len(mine), dtype=torch.float64) * mine).sum())
        chosen, rejected = batch.of_pairs(torch.stack(sums))
        return LossOutput((rejected - chosen).sigmoid())


def test_weights_of_tokens_may_fade_until_no_number_is_left() -> None:
    check_long_completions(Discounted())
