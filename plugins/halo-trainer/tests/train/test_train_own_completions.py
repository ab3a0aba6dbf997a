"""Reference points from the batch's own completions: their cost, and that they are exact."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import pytest
import torch
from torch import nn

from halo_core.errors import NotFiniteError
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
from halo_methods.components import KTO, MatchedKL, RunningMean
from halo_trainer.batch.batch_plan import BatchPlan
from halo_trainer.batch.micro_batch import GlobalBatch
from halo_trainer.train.evaluate import evaluate_set
from halo_trainer.train.load_models import set_dropout
from halo_trainer.train.step import Gradient, backward

RELATIVE = 1e-5
CUT = 40
"""Number of tokens of a micro-batch, so that a batch has several."""
STATE = {"mean": 2.0, "count": 5.0}


class Calls:
    """Counts the rows that each model computes.

    Args:
        tiny: The policy and the reference.
    """

    def __init__(self, tiny: Any) -> None:
        self.policy = self.reference = 0
        self.gradients: list[bool] = []
        tiny.policy.register_forward_hook(self._policy)
        tiny.reference.register_forward_hook(self._reference)

    def _policy(self, module: nn.Module, inputs: Any, output: Any) -> None:
        self.policy += 1
        self.gradients.append(output.token_logps.requires_grad)

    def _reference(self, module: nn.Module, inputs: Any, output: Any) -> None:
        self.reference += 1


def step_of(
    tiny: Any, examples: Sequence[Any], state: Mapping[str, float]
) -> tuple[GlobalBatch, Gradient, dict[str, torch.Tensor]]:
    plan = BatchPlan(len(examples), len(examples), seed=0, shuffled=False)
    batch = tiny.prepare(examples, plan.batch(1), plan.rng(1, "pairs"), state)
    named = dict(tiny.policy.named_parameters())
    found = backward(tiny.objective, batch, list(named.values()), stop=False, max_norm=None)
    gradients = {name: parameter.grad.clone() for name, parameter in named.items()}
    tiny.policy.zero_grad()
    return batch, found, gradients


class Apart(RefPointEstimator):
    """The result of another estimator for the same pairs in another order, with a separate pass."""

    observes: ClassVar[Observes] = "mismatched"
    of: ClassVar[RefPointEstimator]

    def pairs(self, plan: PairingPlan, rng: Any) -> Sequence[Pair]:
        return [Pair(i, i) for i in reversed(range(len(plan.batch)))]

    def estimate(self, observed: Observed, state: Mapping[str, float]) -> Estimate:
        return self.of.estimate(observed, state)


@pytest.mark.parametrize("budget", [1000, CUT])
@pytest.mark.parametrize(
    ("estimator", "again"), [(MatchedKL(), 1), (RunningMean(), 0), (RunningMean(decay=0.5), 0)]
)
def test_own_completions_are_scored_once_but_for_activations_that_cannot_be_held(
    estimator: RefPointEstimator,
    again: int,
    budget: int,
    make_examples: Callable[..., Any],
    make_tiny: Callable[..., Any],
) -> None:
    tiny = make_tiny(KTO(), estimator, budget=budget)
    calls = Calls(tiny)
    batch, _, _ = step_of(tiny, make_examples("binary", 9), STATE)
    parts = len(batch.micro_batches)
    assert (parts > 2) == (budget == CUT)
    assert calls.reference == parts
    assert calls.policy == parts + again * (parts - 1)
    # Nothing else is computed while the activations of a gradient are held.
    assert calls.gradients == [False] * again * (parts - 1) + [True] * parts


@pytest.mark.parametrize("budget", [1000, CUT])
@pytest.mark.parametrize("estimator", [MatchedKL(), RunningMean()])
def test_the_step_is_that_of_an_estimate_with_a_pass_of_its_own(
    estimator: RefPointEstimator,
    budget: int,
    make_examples: Callable[..., Any],
    make_tiny: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Apart, "of", estimator, raising=False)
    examples = make_examples("binary", 9)
    apart = make_tiny(KTO(), Apart())
    calls = Calls(apart)
    _, expected, gradients = step_of(apart, examples, STATE)
    assert calls.policy == calls.reference == 2
    _, found, same = step_of(make_tiny(KTO(), estimator, budget=budget), examples, STATE)
    assert found.estimate is not None
    assert expected.estimate is not None
    assert found.estimate.value == pytest.approx(expected.estimate.value, rel=RELATIVE)
    assert found.estimate.value != 0
    assert found.estimate.state == pytest.approx(expected.estimate.state, rel=RELATIVE)
    (mean,), (of_apart,) = found.estimate.metrics.values(), expected.estimate.metrics.values()
    assert mean == pytest.approx(of_apart, rel=RELATIVE)
    assert found.loss == pytest.approx(expected.loss, rel=RELATIVE)
    for name, gradient in gradients.items():
        assert (same[name] - gradient).norm() <= RELATIVE * gradient.norm(), name


@pytest.mark.parametrize("estimator", [MatchedKL(), RunningMean()])
def test_evaluation_scores_every_completion_once(
    estimator: RefPointEstimator,
    make_examples: Callable[..., Any],
    make_tiny: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Apart, "of", estimator, raising=False)
    examples = make_examples("binary", 10)
    options: Any = {"batch_size": 5, "seed": 0, "state": STATE}
    tiny = make_tiny(KTO(), estimator)
    calls = Calls(tiny)
    found = evaluate_set(tiny.objective, tiny.estimator, examples, **options)
    assert (calls.gradients, calls.reference) == ([False, False], 2)
    apart = make_tiny(KTO(), Apart())
    expected = evaluate_set(apart.objective, apart.estimator, examples, **options)
    assert found == pytest.approx(expected, rel=RELATIVE)
    assert {"loss", "policy/kl", "policy/reference_point"} <= found.keys()


@pytest.mark.parametrize("estimator", [MatchedKL(), RunningMean()])
def test_with_dropout_the_estimate_has_a_pass_of_its_own_without_it(
    estimator: RefPointEstimator,
    make_examples: Callable[..., Any],
    make_tiny: Callable[..., Any],
) -> None:
    examples = make_examples("binary", 9)
    _, expected, _ = step_of(make_tiny(KTO(), estimator), examples, STATE)
    tiny = make_tiny(KTO(), estimator, dropout=True)
    set_dropout(tiny.policy, 0.5)
    tiny.policy.train()
    calls = Calls(tiny)
    _, found, _ = step_of(tiny, examples, STATE)
    assert calls.policy == calls.reference == 2
    assert found.estimate is not None
    assert expected.estimate is not None
    assert found.estimate.state == pytest.approx(expected.estimate.state, rel=RELATIVE)
    assert found.estimate.value == pytest.approx(expected.estimate.value, rel=RELATIVE)


class WithoutReference(Loss):
    """Reads the reference point, and not the reference."""

    feedback: ClassVar[Feedback] = "binary"
    needs: ClassVar[tuple[Need, ...]] = ("policy_logps", "reference_point")
    default_reference_point: ClassVar[str | None] = "zero"

    def __call__(self, batch: LossBatch) -> LossOutput:
        assert batch.reference_point is not None
        losses = (batch.policy_logps - batch.reference_point) ** 2
        return LossOutput(losses, torch.ones_like(losses))


def test_a_loss_that_does_not_score_the_reference_leaves_that_to_the_estimate(
    make_examples: Callable[..., Any], make_tiny: Callable[..., Any]
) -> None:
    tiny = make_tiny(WithoutReference(), RunningMean())
    calls = Calls(tiny)
    _, found, _ = step_of(tiny, make_examples("binary", 9), STATE)
    assert (calls.policy, calls.reference) == (2, 1)
    assert found.estimate is not None
    assert found.estimate.state["count"] == 5 + 9


class Careless(Loss):
    """Needs the reference's log-probabilities, and does not read them."""

    feedback: ClassVar[Feedback] = "binary"
    needs: ClassVar[tuple[Need, ...]] = ("policy_logps", "reference_logps", "reference_point")
    default_reference_point: ClassVar[str | None] = "zero"

    def __call__(self, batch: LossBatch) -> LossOutput:
        return LossOutput(-batch.policy_logps, torch.ones_like(batch.policy_logps))


@pytest.mark.parametrize("estimator", [MatchedKL(), RunningMean()])
def test_a_log_ratio_that_is_not_a_number_stops_before_the_weights_change(
    estimator: RefPointEstimator,
    make_examples: Callable[..., Any],
    make_tiny: Callable[..., Any],
) -> None:
    tiny = make_tiny(Careless(), estimator)
    with torch.no_grad():
        tiny.reference.model.lm_head.weight.fill_(torch.nan)
    message = "the log-ratio of 3 completions is not a number: row-0, row-1, row-2"
    with pytest.raises(NotFiniteError, match=message):
        step_of(tiny, make_examples("binary", 3), STATE)
    assert all(parameter.grad is None for parameter in tiny.policy.parameters())


@pytest.mark.parametrize("estimator", [MatchedKL(), RunningMean()])
@pytest.mark.parametrize("budget", [1, 25, 60])
def test_the_gradient_does_not_depend_on_how_the_batch_is_cut(
    estimator: RefPointEstimator,
    budget: int,
    make_examples: Callable[..., Any],
    make_tiny: Callable[..., Any],
) -> None:
    examples = make_examples("binary", 9)
    _, whole, expected = step_of(make_tiny(KTO(), estimator), examples, STATE)
    _, cut, found = step_of(make_tiny(KTO(), estimator, budget=budget), examples, STATE)
    assert cut.estimate is not None
    assert whole.estimate is not None
    assert cut.estimate.state == pytest.approx(whole.estimate.state, rel=RELATIVE)
    for name, gradient in expected.items():
        assert (found[name] - gradient).norm() <= RELATIVE * gradient.norm(), name


class ByPlace(RefPointEstimator):
    """Keeps the log-ratio and the length at every position."""

    observes: ClassVar[Observes] = "own"

    def estimate(self, observed: Observed, state: Mapping[str, float]) -> Estimate:
        ratios = {f"ratio {i}": ratio for i, ratio in enumerate(observed.logratios)}
        return Estimate(0.0, ratios | {f"length {i}": n for i, n in enumerate(observed.lengths)})


class ByPlaceAfterwards(ByPlace):
    """The same after the gradient pass."""

    lagged: ClassVar[bool] = True

    def point_from(self, state: Mapping[str, float]) -> float:
        return 0.0


@pytest.mark.parametrize("estimator", [ByPlace(), ByPlaceAfterwards()])
def test_each_log_ratio_is_in_its_completions_place_however_the_batch_is_cut(
    estimator: RefPointEstimator,
    make_examples: Callable[..., Any],
    make_tiny: Callable[..., Any],
) -> None:
    examples = make_examples("binary", 9)
    alone = {}
    for i, example in enumerate(examples):
        _, found, _ = step_of(make_tiny(KTO(), estimator), [example], {})
        assert found.estimate is not None
        assert found.estimate.state["length 0"] == len(example.completions[0].completion_ids)
        alone |= {name.replace("0", str(i)): v for name, v in found.estimate.state.items()}
    _, cut, _ = step_of(make_tiny(KTO(), estimator, budget=CUT), examples, {})
    assert cut.estimate is not None
    assert cut.estimate.state == pytest.approx(alone, rel=1e-4)
    assert len({round(value, 4) for value in alone.values()}) > 9
