"""The gradient of a global batch: its value, and the settings that do not change it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from halo_core.errors import NotFiniteError, PluginError
from halo_core.feedback import Feedback
from halo_core.loss import Loss, LossBatch, LossOutput, Need
from halo_core.reference_point import (
    Estimate,
    Observed,
    Observes,
    Pair,
    PairingPlan,
    RefPointEstimator,
)
from halo_methods.components import DPO, KTO, SFT, MismatchedKL
from halo_trainer.batch.batch_plan import BatchPlan
from halo_trainer.train.metrics import means
from halo_trainer.train.step import Gradient, backward

RELATIVE = 1e-5
LOSSES: Mapping[str, tuple[Loss, RefPointEstimator | None]] = {
    "sft per token": (SFT(), None),
    "sft per sequence": (SFT(per="sequence"), None),
    "dpo": (DPO(label_smoothing=0.1), None),
    "kto": (KTO(desirable_weight=1.3), MismatchedKL()),
}


def gradient_of(
    tiny: Any, examples: Sequence[Any], max_norm: float | None = None
) -> tuple[Gradient, dict[str, torch.Tensor]]:
    plan = BatchPlan(len(examples), len(examples), seed=0, shuffled=False)
    batch = tiny.prepare(examples, plan.batch(1), plan.rng(1, "pairs"), {})
    named = dict(tiny.policy.named_parameters())
    found = backward(tiny.objective, batch, list(named.values()), stop=False, max_norm=max_norm)
    gradients = {name: parameter.grad.clone() for name, parameter in named.items()}
    tiny.policy.zero_grad()
    return found, gradients


def check_equal(found: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
    for name, gradient in expected.items():
        error = (found[name] - gradient).norm()
        assert error <= RELATIVE * gradient.norm(), name


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("budget", [1, 25, 60])
def test_the_gradient_does_not_depend_on_micro_batches(
    name: str, budget: int, make_examples: Callable[..., Any], make_tiny: Callable[..., Any]
) -> None:
    loss, estimator = LOSSES[name]
    examples = make_examples(loss.feedback, 9)
    whole, expected = gradient_of(make_tiny(loss, estimator), examples)
    cut, found = gradient_of(make_tiny(loss, estimator, budget=budget), examples)
    check_equal(found, expected)
    assert cut.loss == pytest.approx(whole.loss, rel=RELATIVE)
    assert cut.norm == pytest.approx(whole.norm, rel=RELATIVE)


def plain_logps(scorer: Any, prompt: Any, completion: Any) -> torch.Tensor:
    """The log-probability of one completion, from the model's logits of that sequence alone."""
    model = scorer.model
    packed = model.config._attn_implementation
    model.set_attn_implementation("eager")
    ids = torch.tensor(np.concatenate([prompt, completion])).long()
    logps = model(input_ids=ids[None]).logits[0, :-1].log_softmax(-1)
    model.set_attn_implementation(packed)
    return logps[torch.arange(len(ids) - 1), ids[1:]][len(prompt) - 1 :].sum()


def plain_loss(name: str, tiny: Any, examples: Sequence[Any]) -> torch.Tensor:
    """The report's equations on sequences one at a time."""
    completions = [c for example in examples for c in example.completions]
    policy = torch.stack(
        [plain_logps(tiny.policy, c.prompt_ids, c.completion_ids) for c in completions]
    )
    if name == "sft per token":
        return -policy.sum() / sum(len(c.completion_ids) for c in completions)
    if name == "sft per sequence":
        return -policy.mean()
    with torch.no_grad():
        reference = torch.stack(
            [plain_logps(tiny.reference, c.prompt_ids, c.completion_ids) for c in completions]
        )
    logratios = policy - reference
    if name == "dpo":
        margins = 0.1 * (logratios[0::2] - logratios[1::2])
        return (-0.9 * F.logsigmoid(margins) - 0.1 * F.logsigmoid(-margins)).mean()
    point = plain_reference_point(tiny, completions, examples)
    desirable = torch.tensor([c.desirable for c in completions])
    gains = 0.1 * torch.where(desirable, logratios - point, point - logratios)
    return (torch.where(desirable, 1.3, 1.0) * (1 - torch.sigmoid(gains))).mean()


@torch.no_grad()
def plain_reference_point(tiny: Any, completions: Any, examples: Any) -> torch.Tensor:
    plan = BatchPlan(len(examples), len(examples), seed=0, shuffled=False)
    candidates = [make_candidate(e, c) for e, c in zip(examples, completions, strict=True)]
    pairs = MismatchedKL().pairs(PairingPlan(candidates, []), plan.rng(1, "pairs"))
    assert all(pair.prompt != pair.completion for pair in pairs)
    logratios = [
        plain_logps(
            scorer, completions[p.prompt].prompt_ids, completions[p.completion].completion_ids
        )
        for p in pairs
        for scorer in (tiny.policy, tiny.reference)
    ]
    values = torch.stack(logratios)
    return (values[0::2] - values[1::2]).mean().clamp(min=0)


def make_candidate(example: Any, completion: Any) -> Any:
    from halo_core.reference_point import Candidate

    return Candidate(example.prompt_id, completion.completion_id)


@pytest.mark.parametrize("name", LOSSES)
def test_a_step_is_the_equation_computed_on_sequences_one_at_a_time(
    name: str, make_examples: Callable[..., Any], make_tiny: Callable[..., Any]
) -> None:
    loss, estimator = LOSSES[name]
    examples = make_examples(loss.feedback, 5)
    tiny = make_tiny(loss, estimator, budget=40)
    found, gradients = gradient_of(tiny, examples)
    expected = plain_loss(name, tiny, examples)
    expected.backward()  # type: ignore[no-untyped-call]
    assert found.loss == pytest.approx(expected.item(), rel=RELATIVE)
    check_equal(gradients, {n: p.grad for n, p in tiny.policy.named_parameters()})


@pytest.mark.parametrize("desirable", [True, False])
@pytest.mark.parametrize("count", [1, 4])
def test_one_sided_batches_train(
    desirable: bool,
    count: int,
    make_examples: Callable[..., Any],
    make_tiny: Callable[..., Any],
) -> None:
    examples = [
        replace(e, completions=(replace(e.completions[0], desirable=desirable),))
        for e in make_examples("binary", count)
    ]
    found, gradients = gradient_of(make_tiny(KTO(), MismatchedKL(), budget=20), examples)
    assert found.norm > 0
    assert all(torch.isfinite(gradient).all() for gradient in gradients.values())
    shown = means(found.metrics.sums())
    assert ("rewards/desirable" in shown) == desirable
    assert ("rewards/undesirable" in shown) == (not desirable)


def test_a_single_example_has_no_pair_and_a_reference_point_of_zero(
    make_examples: Callable[..., Any], make_tiny: Callable[..., Any]
) -> None:
    examples = make_examples("binary", 1)
    plan = BatchPlan(1, 1, seed=0)
    tiny = make_tiny(KTO(), MismatchedKL())
    batch = tiny.prepare(examples, plan.batch(1), plan.rng(1, "pairs"), {})
    assert batch.estimate.value == 0
    assert batch.estimate.metrics["counts/pairs_missing"] == (1.0, 1.0)


def test_a_single_example_finds_its_partner_among_the_following(
    make_examples: Callable[..., Any], make_tiny: Callable[..., Any]
) -> None:
    examples = make_examples("binary", 3)
    plan = BatchPlan(3, 1, seed=0)
    tiny = make_tiny(KTO(), MismatchedKL())
    batch = tiny.prepare(examples, plan.batch(1), plan.rng(1, "pairs"), {})
    assert batch.estimate.metrics["counts/pairs_from_following"] == (1.0, 1.0)


def test_a_long_gradient_is_shortened_and_a_short_one_is_left(
    make_examples: Callable[..., Any], make_tiny: Callable[..., Any]
) -> None:
    examples = make_examples("demonstration", 4)
    found, gradients = gradient_of(make_tiny(SFT()), examples)
    clipped, short = gradient_of(make_tiny(SFT()), examples, max_norm=0.01)
    assert found.norm > 0.01
    assert clipped.norm == found.norm
    total = torch.nn.utils.get_total_norm(list(short.values()))
    assert total.item() == pytest.approx(0.01, rel=1e-4)
    _, same = gradient_of(make_tiny(SFT()), examples, max_norm=1e9)
    assert all(torch.equal(same[name], gradients[name]) for name in gradients)


def test_metrics_do_not_depend_on_micro_batches(
    make_examples: Callable[..., Any], make_tiny: Callable[..., Any]
) -> None:
    examples = make_examples("paired", 7)
    whole, _ = gradient_of(make_tiny(DPO()), examples)
    cut, _ = gradient_of(make_tiny(DPO(), budget=1), examples)
    expected = means(whole.metrics.sums())
    assert means(cut.metrics.sums()) == pytest.approx(expected, rel=1e-5, abs=1e-6)
    assert expected["rewards/margins"] == pytest.approx(
        expected["rewards/chosen"] - expected["rewards/rejected"], rel=1e-4, abs=1e-6
    )


class Broken(Loss):
    """Not a number for completions with a certain number of tokens."""

    feedback: ClassVar[Feedback] = "demonstration"
    needs: ClassVar[tuple[Need, ...]] = ("policy_logps",)

    def __call__(self, batch: LossBatch) -> LossOutput:
        losses = torch.where(batch.lengths == 5, torch.nan, -batch.policy_logps)
        return LossOutput(losses, torch.ones_like(losses))


class BrokenBackward(Loss):
    """The loss is finite; its gradient is not, for completions with a certain number of tokens."""

    feedback: ClassVar[Feedback] = "demonstration"
    needs: ClassVar[tuple[Need, ...]] = ("policy_logps",)

    def __call__(self, batch: LossBatch) -> LossOutput:
        zeros = torch.where(batch.lengths == 5, batch.policy_logps * 0, batch.policy_logps.abs())
        return LossOutput(zeros.sqrt(), torch.ones_like(zeros))


@pytest.mark.parametrize("loss", [Broken(), BrokenBackward()])
def test_a_loss_or_gradient_that_is_not_a_number_names_the_examples(
    loss: Loss, make_examples: Callable[..., Any], make_tiny: Callable[..., Any]
) -> None:
    examples = make_examples("demonstration", 12)
    bad = [e.id for e in examples if len(e.completions[0].completion_ids) == 5]
    good = [e.id for e in examples if e.id not in bad]
    assert bad
    tiny = make_tiny(loss, budget=50)
    with pytest.raises(NotFiniteError) as caught:
        gradient_of(tiny, examples)
    named = str(caught.value).split("examples: ")[1].split(".")[0].split(", ")
    assert sorted(named) == sorted(bad)
    assert not set(named) & set(good)
    assert all(parameter.grad is None for parameter in tiny.policy.parameters())


class Lost(RefPointEstimator):
    """Estimates NaN."""

    observes: ClassVar[Observes] = "nothing"

    def estimate(self, observed: Observed, state: Mapping[str, float]) -> Estimate:
        return Estimate(float("nan"))


def test_a_reference_point_that_is_not_a_number_stops_too(
    make_examples: Callable[..., Any], make_tiny: Callable[..., Any]
) -> None:
    with pytest.raises(NotFiniteError, match="Lost estimated nan"):
        gradient_of(make_tiny(KTO(), Lost()), make_examples("binary", 3))


def test_a_pair_that_is_not_a_number_names_its_rows(
    make_examples: Callable[..., Any], make_tiny: Callable[..., Any]
) -> None:
    tiny = make_tiny(KTO(), MismatchedKL())
    with torch.no_grad():
        tiny.reference.model.lm_head.weight.fill_(torch.nan)
    with pytest.raises(NotFiniteError, match=r"3 mismatched pairs is not a number.*row-\d with"):
        gradient_of(tiny, make_examples("binary", 3))


class OneNumber(Loss):
    """Returns one number for the whole batch, which is wrong for a loss."""

    feedback: ClassVar[Feedback] = "demonstration"
    needs: ClassVar[tuple[Need, ...]] = ("policy_logps",)

    def __call__(self, batch: LossBatch) -> LossOutput:
        return LossOutput(-batch.policy_logps.mean(), torch.ones(()))


def test_a_loss_of_the_wrong_shape_is_the_plugins_fault(
    make_examples: Callable[..., Any], make_tiny: Callable[..., Any]
) -> None:
    with pytest.raises(PluginError, match=r"gave losses of the shape \(\) for 3 examples"):
        gradient_of(make_tiny(OneNumber()), make_examples("demonstration", 3))


def test_a_loss_that_needs_no_reference_never_scores_it(
    make_examples: Callable[..., Any], make_tiny: Callable[..., Any]
) -> None:
    tiny = make_tiny(SFT())
    tiny.reference.forward = pytest.fail
    gradient_of(tiny, make_examples("demonstration", 3))


def test_weights_that_sum_to_zero_give_no_gradient(
    make_examples: Callable[..., Any], make_tiny: Callable[..., Any]
) -> None:
    class Weightless(Loss):
        """Counts nothing."""

        feedback: ClassVar[Feedback] = "demonstration"
        needs: ClassVar[tuple[Need, ...]] = ("policy_logps",)

        def __call__(self, batch: LossBatch) -> LossOutput:
            return LossOutput(-batch.policy_logps, torch.zeros_like(batch.policy_logps))

    found, _ = gradient_of(make_tiny(Weightless()), make_examples("demonstration", 3))
    assert (found.loss, found.norm) == (0.0, 0.0)


class Watching(RefPointEstimator):
    """Records its inputs."""

    observes: ClassVar[Observes] = "mismatched"
    seen: ClassVar[list[Observed]] = []

    def pairs(self, plan: PairingPlan, rng: Any) -> Any:
        return [Pair(0, 1), Pair(1, 0)]

    def estimate(self, observed: Observed, state: Mapping[str, float]) -> Estimate:
        self.seen.append(observed)
        return Estimate(0.0)


def test_a_pair_that_is_too_long_loses_the_end_of_its_completion(
    make_examples: Callable[..., Any], make_tiny: Callable[..., Any]
) -> None:
    examples = make_examples("binary", 2)
    first, second = (example.completions[0] for example in examples)
    longest = len(first.prompt_ids) + len(second.completion_ids) - 1
    tiny = make_tiny(KTO(), Watching(), max_length=longest)
    gradient_of(tiny, examples)
    assert Watching.seen[-1].lengths[0] == len(second.completion_ids) - 1


class Astray(Watching):
    """Asks for a completion that does not exist."""

    def pairs(self, plan: PairingPlan, rng: Any) -> Any:
        return [Pair(0, 99)]


def test_a_pair_outside_the_plan_is_the_plugins_fault(
    make_examples: Callable[..., Any], make_tiny: Callable[..., Any]
) -> None:
    with pytest.raises(
        PluginError, match=r"Astray\.pairs\(\) asked for Pair\(prompt=0, completion=99\)"
    ):
        gradient_of(make_tiny(KTO(), Astray()), make_examples("binary", 2))
