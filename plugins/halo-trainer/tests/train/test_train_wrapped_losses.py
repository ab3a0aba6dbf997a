"""Losses around losses in the trainer: changed log-ratios everywhere, and sums that are exact."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from halo_core.loss import Loss, LossBatch, LossOutput
from halo_core.loss_wrapper import LossWrapper
from halo_core.reference_point import Candidate, PairingPlan, RefPointEstimator
from halo_methods.components import (
    CSFT,
    DPO,
    IPO,
    KTO,
    PPO,
    SFT,
    Dispreferred,
    Humanline,
    KTOLogSigmoid,
    MatchedKL,
    MismatchedKL,
    RunningMean,
    WeightedSum,
    Zero,
)
from halo_trainer.batch.batch_plan import BatchPlan
from halo_trainer.model.heads import make_heads
from halo_trainer.train.evaluate import evaluate_set
from halo_trainer.train.metrics import means
from halo_trainer.train.step import Gradient, backward

RELATIVE = 1e-5
LOW, HIGH = -0.3, 0.2
"""Bounds that leave out some of the tokens below, on both sides."""
STATE = {"mean": 0.4, "count": 5.0}


class Plain(LossWrapper):
    """Changes nothing."""


def step_of(
    tiny: Any, examples: Sequence[Any], state: Mapping[str, float] = STATE
) -> tuple[Gradient, dict[str, Tensor]]:
    heads = tiny.loss.heads()
    if heads:
        made = make_heads(heads, tiny.policy.model, seed=1)
        tiny.policy.add_heads(heads, made, tokens="policy_logps" in tiny.loss.needed())
    plan = BatchPlan(len(examples), len(examples), seed=0, shuffled=False)
    batch = tiny.prepare(examples, plan.batch(1), plan.rng(1, "pairs"), state)
    named = dict(tiny.policy.named_parameters())
    found = backward(tiny.objective, batch, list(named.values()), stop=False, max_norm=None)
    gradients = {n: p.grad.clone() for n, p in named.items() if p.grad is not None}
    tiny.policy.zero_grad()
    return found, gradients


def check_equal(found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        assert (found[name] - gradient).norm() <= RELATIVE * gradient.norm(), name


@pytest.mark.parametrize(
    ("loss", "estimator"),
    [
        (KTO(), MismatchedKL()),
        (KTO(), MatchedKL()),
        (KTO(), RunningMean()),
        (DPO(), None),
        (SFT(), None),
        (PPO(advantage="gae", whiten=True), None),
    ],
)
def test_a_wrapper_that_changes_nothing_changes_no_bit(
    loss: Loss,
    estimator: RefPointEstimator | None,
    make_examples: Callable[..., Any],
    make_tiny: Callable[..., Any],
) -> None:
    examples = make_examples(loss.resolved_feedback(), 7)
    bare, expected = step_of(make_tiny(loss, estimator, budget=40), examples)
    wrapped = Plain(loss=Plain(loss=loss))
    found, same = step_of(make_tiny(wrapped, estimator, budget=40), examples)
    assert found.metrics.sums() == bare.metrics.sums()
    assert (found.loss, found.norm, found.estimate) == (bare.loss, bare.norm, bare.estimate)
    assert all(torch.equal(same[name], gradient) for name, gradient in expected.items())


def token_logps(scorer: Any, prompt: Any, completion: Any) -> Tensor:
    """The log-probability of each token, from the model's logits of that sequence alone."""
    model = scorer.model
    packed = model.config._attn_implementation
    model.set_attn_implementation("eager")
    ids = torch.tensor(np.concatenate([prompt, completion])).long()
    logps = model(input_ids=ids[None]).logits[0, :-1].log_softmax(-1)
    model.set_attn_implementation(packed)
    return logps[torch.arange(len(ids) - 1), ids[1:]][len(prompt) - 1 :]


class Alone:
    """Clamped log-ratios of sequences one at a time, in plain torch.

    Args:
        tiny: The policy and the reference.
    """

    def __init__(self, tiny: Any) -> None:
        self.tiny = tiny
        self.outside: list[bool] = []

    def logratio(self, prompt: Any, completion: Any) -> Tensor:
        policy = token_logps(self.tiny.policy, prompt, completion)
        with torch.no_grad():
            reference = token_logps(self.tiny.reference, prompt, completion)
        ratios = policy - reference
        self.outside += [not LOW <= ratio <= HIGH for ratio in ratios.tolist()]
        clamped = [min(max(r, ratios.new_tensor(LOW)), ratios.new_tensor(HIGH)) for r in ratios]
        return torch.stack(clamped).sum()

    def point(self, estimator: RefPointEstimator, examples: Sequence[Any]) -> float:
        """The reference point of a global batch in its order."""
        own = [e.completions[0] for e in examples]
        places = [(i, i) for i in range(len(own))]
        if isinstance(estimator, MismatchedKL):
            plan = BatchPlan(len(examples), len(examples), seed=0, shuffled=False)
            batch = [
                Candidate(e.prompt_id, c.completion_id) for e, c in zip(examples, own, strict=True)
            ]
            pairs = estimator.pairs(PairingPlan(batch, []), plan.rng(1, "pairs"))
            places = [(pair.prompt, pair.completion) for pair in pairs]
            assert all(i != j for i, j in places)
        if isinstance(estimator, RunningMean):
            return STATE["mean"]
        with torch.no_grad():
            ratios = [self.logratio(own[i].prompt_ids, own[j].completion_ids) for i, j in places]
        return max(0.0, float(torch.stack(ratios).double().mean()))


@pytest.mark.parametrize("budget", [1000, 40])
@pytest.mark.parametrize("estimator", [MismatchedKL(), MatchedKL(), RunningMean()])
def test_humanline_kto_is_the_equation_with_every_token_clamped_on_sequences_one_at_a_time(
    estimator: RefPointEstimator,
    budget: int,
    make_examples: Callable[..., Any],
    make_tiny: Callable[..., Any],
) -> None:
    loss = Humanline(loss=KTO(beta=0.5), log_epsilon_p=LOW, log_epsilon_r=HIGH)
    examples = make_examples("binary", 6)
    tiny = make_tiny(Plain(loss=loss), estimator, budget=budget)
    found, gradients = step_of(tiny, examples)
    alone = Alone(tiny)
    own = [e.completions[0] for e in examples]
    ratios = torch.stack([alone.logratio(c.prompt_ids, c.completion_ids) for c in own])
    point = alone.point(estimator, examples)
    desirable = torch.tensor([c.desirable for c in own])
    gains = 0.5 * torch.where(desirable, ratios - point, point - ratios)
    expected = (1 - torch.sigmoid(gains)).mean()
    expected.backward()  # type: ignore[no-untyped-call]
    assert 0.2 < sum(alone.outside) / len(alone.outside) < 0.9
    assert found.estimate is not None
    assert found.estimate.value == pytest.approx(point, rel=RELATIVE)
    assert found.loss == pytest.approx(expected.item(), rel=RELATIVE)
    named = tiny.policy.named_parameters()
    check_equal(gradients, {name: p.grad for name, p in named if p.grad is not None})
    shown = means(found.metrics.sums())
    rewards = 0.5 * ratios[desirable].detach()
    assert shown["rewards/desirable"] == pytest.approx(rewards.mean().item(), rel=1e-4)


def test_the_state_of_a_lagging_point_takes_in_the_clamped_log_ratios(
    make_examples: Callable[..., Any], make_tiny: Callable[..., Any]
) -> None:
    loss = Humanline(loss=KTO(), log_epsilon_p=LOW, log_epsilon_r=HIGH)
    examples = make_examples("binary", 6)
    tiny = make_tiny(loss, RunningMean(), budget=40)
    found, _ = step_of(tiny, examples)
    alone = Alone(tiny)
    with torch.no_grad():
        own = [e.completions[0] for e in examples]
        total = sum(float(alone.logratio(c.prompt_ids, c.completion_ids)) for c in own)
    assert found.estimate is not None
    mean = (STATE["mean"] * STATE["count"] + total) / (STATE["count"] + 6)
    assert found.estimate.state["mean"] == pytest.approx(mean, rel=RELATIVE)


@pytest.mark.parametrize("estimator", [None, Dispreferred()])
def test_humanline_on_pairs_is_dpo_of_clamped_tokens(
    estimator: RefPointEstimator | None,
    make_examples: Callable[..., Any],
    make_tiny: Callable[..., Any],
) -> None:
    inner: Loss = DPO(beta=0.5) if estimator is None else KTOLogSigmoid(beta=0.5)
    loss = Humanline(loss=inner, log_epsilon_p=LOW, log_epsilon_r=HIGH)
    examples = make_examples("paired", 5)
    tiny = make_tiny(loss, estimator, budget=40)
    found, gradients = step_of(tiny, examples)
    alone = Alone(tiny)
    completions = [c for e in examples for c in e.completions]
    ratios = torch.stack([alone.logratio(c.prompt_ids, c.completion_ids) for c in completions])
    expected = -F.logsigmoid(0.5 * (ratios[0::2] - ratios[1::2])).mean()
    expected.backward()  # type: ignore[no-untyped-call]
    assert any(alone.outside)
    assert found.loss == pytest.approx(expected.item(), rel=RELATIVE)
    named = tiny.policy.named_parameters()
    check_equal(gradients, {name: p.grad for name, p in named if p.grad is not None})


def test_tokens_that_are_all_outside_leave_the_weights_alone(
    make_examples: Callable[..., Any], make_tiny: Callable[..., Any]
) -> None:
    loss = Humanline(loss=KTO(), log_epsilon_p=-1e-9, log_epsilon_r=1e-9)
    found, gradients = step_of(make_tiny(loss, MismatchedKL()), make_examples("binary", 5))
    assert found.norm == 0
    assert all(not gradient.any() for gradient in gradients.values())


SUMS: Mapping[str, tuple[WeightedSum, RefPointEstimator | None]] = {
    "kto and kto": (WeightedSum(losses=[KTO(), KTOLogSigmoid()], weights=[0.5, 2.0]), Zero()),
    "dpo and ipo": (WeightedSum(losses=[DPO(), IPO()], weights=[1.0, 0.1]), None),
    "ppo and kto": (
        WeightedSum(losses=[PPO(advantage="gae"), KTO()], weights=[3.0, 0.5]),
        MismatchedKL(),
    ),
    "whitened, and per token": (
        WeightedSum(losses=[PPO(whiten=True, per="sequence"), PPO()], weights=[1.0, 2.0]),
        None,
    ),
    "per token, and per sequence": (
        WeightedSum(losses=[SFT(), SFT(per="sequence")], weights=[1.0, 0.2]),
        None,
    ),
    "control tokens": (
        WeightedSum(losses=[CSFT(), CSFT(per="sequence")], weights=[1.0, 0.2]),
        None,
    ),
}


@pytest.mark.parametrize("budget", [1000, 40])
@pytest.mark.parametrize("name", SUMS)
def test_the_gradient_of_a_sum_is_the_sum_of_the_gradients_of_its_losses_alone(
    name: str, budget: int, make_examples: Callable[..., Any], make_tiny: Callable[..., Any]
) -> None:
    loss, estimator = SUMS[name]
    examples = make_examples(loss.resolved_feedback(), 9)
    found, gradients = step_of(make_tiny(loss, estimator, budget=budget), examples)
    total, summed = 0.0, dict.fromkeys(gradients, torch.zeros(()))
    for k, (factor, part) in enumerate(zip(loss.weights, loss.losses, strict=True)):
        point = estimator if "reference_point" in part.needed() else None
        alone, each = step_of(make_tiny(part, point), examples)
        total += factor * alone.loss
        for key, gradient in each.items():
            key = key.replace("heads.", f"heads.{k}-")
            summed[key] = summed[key] + factor * gradient
        shown = means(found.metrics.sums())[f"loss-{k}/loss"]
        assert shown == pytest.approx(alone.loss, rel=RELATIVE)
    assert found.loss == pytest.approx(total, rel=RELATIVE)
    check_equal(gradients, summed)


def test_a_sum_is_evaluated_as_it_is_trained(
    make_examples: Callable[..., Any], make_tiny: Callable[..., Any]
) -> None:
    loss, _ = SUMS["per token, and per sequence"]
    examples = make_examples("demonstration", 8)
    tiny = make_tiny(loss, budget=40)
    found = evaluate_set(tiny.objective, tiny.estimator, examples, batch_size=8, seed=0, state={})
    assert found["loss"] == pytest.approx(step_of(tiny, examples)[0].loss, rel=RELATIVE)


@pytest.mark.parametrize(("losses", "passes"), [([DPO(), IPO()], 1), ([SFT(), SFT()], 2)])
def test_only_a_sum_with_weights_scores_the_batch_twice(
    losses: list[Loss],
    passes: int,
    make_examples: Callable[..., Any],
    make_tiny: Callable[..., Any],
) -> None:
    tiny = make_tiny(WeightedSum(losses=losses, weights=[1.0, 1.0]))
    calls: list[int] = []
    tiny.policy.register_forward_hook(lambda *_: calls.append(1))
    feedback = losses[0].resolved_feedback()
    step_of(tiny, make_examples(feedback, 4))
    assert len(calls) == passes


class Doubled(LossWrapper):
    """Twice the loss."""

    def change_output(self, batch: LossBatch, output: LossOutput) -> LossOutput:
        return LossOutput(2 * output.losses, output.weights, output.rewards, output.metrics)


def test_what_a_wrapper_makes_of_the_output_is_what_is_minimised(
    make_examples: Callable[..., Any], make_tiny: Callable[..., Any]
) -> None:
    examples = make_examples("binary", 6)
    once, expected = step_of(make_tiny(KTO(), MismatchedKL()), examples)
    loss = Doubled(loss=Humanline(loss=KTO(), log_epsilon_p=-99.0, log_epsilon_r=99.0))
    twice, found = step_of(make_tiny(loss, MismatchedKL(), budget=40), examples)
    assert twice.loss == pytest.approx(2 * once.loss, rel=RELATIVE)
    check_equal(found, {name: 2 * gradient for name, gradient in expected.items()})
