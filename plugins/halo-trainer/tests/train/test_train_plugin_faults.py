"""A wrong return value is an error of the plugin, with a line of its own file."""

from __future__ import annotations

import inspect
import re
import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any, ClassVar

import pytest
import torch

from halo_core.errors import NotFiniteError, PluginError
from halo_core.feedback import Feedback
from halo_core.guarded.loss_calls import control_tokens_of, heads_of
from halo_core.loss import ClassCounts, Head, Loss, LossBatch, LossOutput, Need, Settled
from halo_core.reference_point import (
    Estimate,
    Observed,
    Observes,
    Pair,
    PairingPlan,
    RefPointEstimator,
)
from halo_core.stage import ModelInput, StageContext
from halo_methods.components import KTO
from halo_trainer.batch.batch_plan import BatchPlan
from halo_trainer.train.evaluate import evaluate_set
from halo_trainer.train.metrics import means
from halo_trainer.train.options import Train
from halo_trainer.train.settle_loss import settle_loss
from halo_trainer.train.step import Gradient, backward

Change = Callable[[LossBatch, LossOutput], object]


def step_of(tiny: Any, examples: list[Any]) -> Gradient:
    plan = BatchPlan(len(examples), len(examples), seed=0, shuffled=False)
    batch = tiny.prepare(examples, plan.batch(1), plan.rng(1, "pairs"), {})
    parameters = list(tiny.policy.parameters())
    return backward(tiny.objective, batch, parameters, stop=False, max_norm=None)


def changed_loss(change: Change) -> Loss:
    """A loss that returns a good output after `change`."""

    class Changed(Loss):
        """The likelihood, and something else."""

        feedback: ClassVar[Feedback] = "demonstration"
        needs: ClassVar[tuple[Need, ...]] = ("policy_logps",)

        def __call__(self, batch: LossBatch) -> LossOutput:
            found: Any = change(batch, LossOutput(-batch.policy_logps))
            return found

    return Changed()


FAULTS: dict[str, tuple[Change, str]] = {
    "a tuple": (
        lambda batch, out: (out.losses, out.counts),
        "__call__() returned tuple; expected LossOutput(losses), with one value per example",
    ),
    "nothing": (lambda batch, out: None, "__call__() returned None; expected LossOutput(losses)"),
    "a tensor": (lambda batch, out: out.losses, "returned Tensor; expected LossOutput(losses)"),
    "a list": (
        lambda batch, out: LossOutput([1.0, 2.0, 3.0]),  # type: ignore[arg-type]
        "gave losses that are list; expected a tensor, one value per example",
    ),
    "integers": (
        lambda batch, out: replace(out, losses=out.losses.detach().long()),
        "gave losses of torch.int64; expected floats, as the batch has them",
    ),
    "one number": (
        lambda batch, out: replace(out, losses=out.losses.mean()),
        "gave losses of the shape () for 3 examples; expected (3,), one value per example",
    ),
    "too few": (
        lambda batch, out: replace(out, losses=out.losses[1:]),
        "gave losses of the shape (2,) for 3 examples; expected (3,)",
    ),
    "constants": (
        lambda batch, out: replace(out, losses=out.losses.detach()),
        "gave losses without a gradient; they must depend on the policy or a head",
    ),
    "weights with a gradient": (
        lambda batch, out: replace(out, weights=out.losses),
        "gave weights with a gradient, which would be wrong: halo divides by the sum of the "
        "weights of the whole step, and knows it only after the backward passes. Use .detach(). "
        "To train through the weights, multiply the losses by them instead",
    ),
    "weights of another shape": (
        lambda batch, out: replace(out, weights=torch.ones(2)),
        "gave weights of the shape (2,) for 3 examples; expected (3,)",
    ),
    "weights below 0": (
        lambda batch, out: replace(out, weights=torch.tensor([1.0, -2.0, 3.0])),
        "gave 1 weights below 0; expected how much each example counts",
    ),
    "a number as weights": (
        lambda batch, out: replace(out, weights=1.0),
        "gave weights that are float; expected a tensor, one value per example",
    ),
    "rewards by pair": (
        lambda batch, out: replace(out, rewards=out.losses[:1]),
        "gave rewards of the shape (1,); expected (3,), one per completion",
    ),
    "a number as rewards": (
        lambda batch, out: replace(out, rewards=0.5),
        "gave rewards that are float; expected a tensor or None",
    ),
    "a number as a metric": (
        lambda batch, out: replace(out, metrics={"mine": 1.0}),
        "gave the metric 'mine' as float; expected a pair (sum, count)",
    ),
    "a text as a metric's sum": (
        lambda batch, out: replace(out, metrics={"mine": ("much", 1)}),
        "gave the sum of the metric 'mine' as str; expected a number or a tensor []",
    ),
    "a vector as a metric's count": (
        lambda batch, out: replace(out, metrics={"mine": (1.0, out.counts)}),
        "gave the count of the metric 'mine' of the shape (3,); expected []",
    ),
    "a number as a metric's name": (
        lambda batch, out: replace(out, metrics={3: (1.0, 1)}),
        "gave the metric 3; expected a text as its name",
    ),
    "a complex metric": (
        lambda batch, out: replace(out, metrics={"mine": (torch.tensor(1j), 1)}),
        "gave the sum of the metric 'mine' of torch.complex64; expected a float",
    ),
    "a batch changed in place": (
        lambda batch, out: (batch.desirable.fill_(False), out)[1],
        "changed desirable of the batch in place; work on a copy",
    ),
    "a list as metrics": (
        lambda batch, out: replace(out, metrics=[("mine", 1, 1)]),
        "gave metrics that are list; expected name to (sum, count)",
    ),
}


@pytest.mark.parametrize(("change", "message"), FAULTS.values(), ids=FAULTS)
def test_what_a_loss_should_not_give_back_is_its_own_fault(
    change: Change,
    message: str,
    make_examples: Callable[..., Any],
    make_tiny: Callable[..., Any],
) -> None:
    loss = changed_loss(change)
    with pytest.raises(PluginError, match=re.escape(message)) as caught:
        step_of(make_tiny(loss), make_examples("demonstration", 3))
    assert "Changed.__call__() " in str(caught.value)
    assert str(caught.value.location).startswith(inspect.getfile(changed_loss) + ":")


def test_evaluation_wants_no_gradient_of_the_losses(
    make_examples: Callable[..., Any], make_tiny: Callable[..., Any]
) -> None:
    tiny = make_tiny(changed_loss(lambda batch, out: out))
    found = evaluate_set(
        tiny.objective,
        tiny.estimator,
        make_examples("demonstration", 3),
        batch_size=3,
        seed=0,
        state={},
    )
    assert found["loss"] > 0


def test_the_trainer_detaches_rewards_and_metrics_and_takes_numbers(
    make_examples: Callable[..., Any], make_tiny: Callable[..., Any]
) -> None:
    def attached(batch: LossBatch, out: LossOutput) -> LossOutput:
        metrics = {"mine": (out.losses.sum(), 3), "yours": (2, out.counts.sum())}
        return replace(out, rewards=batch.policy_logps, metrics=metrics)

    examples = make_examples("demonstration", 3)
    found = step_of(make_tiny(changed_loss(attached)), examples)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # torch warns of a number that still has a gradient
        shown = means(found.metrics.sums())
    assert shown["mine"] == pytest.approx(shown["train/loss"])
    assert shown["rewards/desirable"] == pytest.approx(-shown["train/loss"])
    assert shown["yours"] == pytest.approx(2 / 3)
    plain = step_of(make_tiny(changed_loss(lambda batch, out: out)), examples)
    assert (found.loss, found.norm) == (plain.loss, plain.norm)


def test_weights_of_one_and_no_weights_give_the_same_bits(
    make_examples: Callable[..., Any], make_tiny: Callable[..., Any]
) -> None:
    gradients = []
    for change in (lambda batch, out: replace(out, weights=out.counts), lambda batch, out: out):
        tiny = make_tiny(changed_loss(change), budget=30)
        found = step_of(tiny, make_examples("demonstration", 7))
        parts = [parameter.grad for parameter in tiny.policy.parameters()]
        gradients.append((found.loss, found.norm, found.metrics.sums(), parts))
    assert gradients[0][:3] == gradients[1][:3]
    assert all(map(torch.equal, gradients[0][3], gradients[1][3]))


class Plain(Loss):
    """The likelihood, with one need that makes no sense."""

    feedback: ClassVar[Feedback] = "binary"
    needs: ClassVar[tuple[Need, ...]] = ("policy_logps",)

    def __call__(self, batch: LossBatch) -> LossOutput:
        return LossOutput(-batch.policy_logps)


class OneHead(Plain):
    def heads(self) -> Any:
        return Head("score", at="end")


class NamedHeads(Plain):
    def heads(self) -> Any:
        return ["score"]


class TwinHeads(Plain):
    def heads(self) -> Any:
        return [Head("score", at="end"), Head("score", at="tokens")]


class NoText(Plain):
    def control_tokens(self) -> Any:
        return (1, 2)


class OneToken(Plain):
    def control_tokens(self) -> Any:
        return "<|good|>"


class Unsettled(Plain):
    def settle(self, counts: ClassCounts) -> Any:
        return self


class SettledWithNumbers(Plain):
    def settle(self, counts: ClassCounts) -> Any:
        return Settled(self, remark=3)  # type: ignore[arg-type]


class SettledAway(Plain):
    def settle(self, counts: ClassCounts) -> Any:
        return Settled(None, "gone")  # type: ignore[arg-type]


class SettledElse(Plain):
    def settle(self, counts: ClassCounts) -> Any:
        return Settled(Plain())


@pytest.mark.parametrize(
    ("loss", "call", "message"),
    [
        (OneHead(), heads_of, "heads() returned Head; expected Heads, as in (Head(...),)"),
        (NamedHeads(), heads_of, "heads() returned ['score']; expected Heads"),
        (TwinHeads(), heads_of, "named ['score', 'score']; expected each with a name of its own"),
        (NoText(), control_tokens_of, "returned (1, 2); expected two texts that differ, or None"),
        (OneToken(), control_tokens_of, "returned '<|good|>'; expected two texts that differ"),
        (Unsettled(), None, "settle() returned Unsettled; expected Settled(loss, remark, caution)"),
        (SettledWithNumbers(), None, "gave the remark 3 and the caution None; expected texts"),
        (SettledAway(), None, "settle() gave a loss that is None"),
        (SettledElse(), None, "settle() gave another loss, Plain; expected a copy of itself"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Loss) else "",
)
def test_a_wish_that_makes_no_sense_is_the_losss_fault(loss: Loss, call: Any, message: str) -> None:
    with pytest.raises(PluginError, match=re.escape(message)) as caught:
        settle_loss(loss, "binary", []) if call is None else call(loss)
    assert str(caught.value).partition("(")[0].endswith(f"{type(loss).__name__}." + _method(loss))
    assert str(caught.value.location).startswith(f"{__file__}:")


def _method(loss: Loss) -> str:
    own = [name for name in vars(type(loss)) if name in ("heads", "control_tokens", "settle")]
    return own[0]


def test_the_stage_finds_control_tokens_that_are_none_before_it_runs() -> None:
    with pytest.raises(PluginError, match="expected two texts that differ"):
        Train(data="d", loss=OneToken()).mistakes()


@pytest.mark.parametrize(
    ("sums", "message"),
    [
        ({"total": 1.0}, "gave 'total' of float; expected a tensor [], detached"),
        ({"total": torch.ones(2)}, "gave 'total' of the shape (2,); expected a tensor []"),
        ({3: torch.ones(())}, "gave the name 3; expected a text"),
        ([1.0], "statistics() returned list; expected name to a tensor []"),
    ],
)
def test_statistics_that_are_none_are_the_losss_fault(
    sums: object,
    message: str,
    make_examples: Callable[..., Any],
    make_tiny: Callable[..., Any],
) -> None:
    class Summing(Loss):
        """Needs sums."""

        feedback: ClassVar[Feedback] = "demonstration"
        needs: ClassVar[tuple[Need, ...]] = ("policy_logps", "statistics")

        def statistics(self, batch: LossBatch) -> Any:
            return sums

        def __call__(self, batch: LossBatch) -> LossOutput:
            return LossOutput(-batch.policy_logps)

    with pytest.raises(PluginError, match=re.escape(message)):
        step_of(make_tiny(Summing()), make_examples("demonstration", 3))


class Pairs(RefPointEstimator):
    """Observes mismatched pairs, and returns a given value."""

    observes: ClassVar[Observes] = "mismatched"
    made: ClassVar[Any] = (Pair(0, 1),)
    given: ClassVar[Any] = Estimate(0.0)
    wanted: ClassVar[Any] = "batch"

    def partners(self) -> Any:
        return self.wanted

    def pairs(self, plan: PairingPlan, rng: Any) -> Any:
        return self.made

    def estimate(self, observed: Observed, state: Any) -> Any:
        return self.given


class Own(RefPointEstimator):
    """A lagging point that is not a number."""

    observes: ClassVar[Observes] = "own"
    lagged: ClassVar[bool] = True

    def estimate(self, observed: Observed, state: Any) -> Estimate:
        return Estimate(0.0)

    def point_from(self, state: Any) -> Any:
        return torch.tensor(0.5)


class Within(RefPointEstimator):
    """Points that are not a tensor."""

    observes: ClassVar[Observes] = "pair"

    def within_pair(self, chosen_logratios: Any, rejected_logratios: Any) -> Any:
        return [0.0 for _ in chosen_logratios]


class Apart(Own):
    """A lagging point that differs from its estimate."""

    def point_from(self, state: Any) -> float:
        return 0.5


class Unlimited(Own):
    """A lagging point without bounds."""

    def point_from(self, state: Any) -> float:
        return float("inf")


HALF: Any = torch.tensor(0.5)
LIST: Any = [0.5]


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("given", 0.5, "Pairs.estimate() returned 0.5; expected Estimate(value)"),
        ("given", HALF, "estimate() returned tensor(0.5000); expected Estimate(value)"),
        ("given", None, "Pairs.estimate() returned None; expected Estimate(value)"),
        (
            "given",
            Estimate(HALF),
            "estimate() gave the value tensor(0.5000); expected a plain number, as float() makes",
        ),
        (
            "given",
            Estimate(0.0, {"mean": HALF}),
            "gave the state 'mean' as tensor(0.5000); expected a plain number",
        ),
        ("given", Estimate(0.0, LIST), "gave the state [0.5]; expected name to a plain number"),
        (
            "given",
            Estimate(0.0, {}, {"kl": HALF}),
            "gave the metric 'kl' as Tensor; expected a pair (sum, count)",
        ),
        ("given", Estimate(0.0, {3: 1.0}), "gave the state 3; expected a text as its name"),
        ("made", (Pair("0", 1),), "asked for Pair(prompt='0', completion=1); positions are whole"),
        ("made", (Pair(0, 0.5),), "asked for Pair(prompt=0, completion=0.5); positions are whole"),
        ("wanted", "fixd", "Pairs.partners() returned 'fixd'; expected 'batch' or 'fixed'"),
        ("made", ((0, 1),), "Pairs.pairs() asked for (0, 1); expected Pair(prompt, completion)"),
        ("made", None, "Pairs.pairs() returned NoneType; expected a sequence of Pair(prompt,"),
    ],
)
def test_what_an_estimator_should_not_give_back_is_its_own_fault(
    name: str,
    value: object,
    message: str,
    make_examples: Callable[..., Any],
    make_tiny: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Pairs, name, value)
    with pytest.raises(PluginError, match=re.escape(message)) as caught:
        step_of(make_tiny(KTO(), Pairs()), make_examples("binary", 3))
    assert str(caught.value.location).startswith(f"{__file__}:")


def test_a_lagging_point_that_is_no_number_is_the_estimators_fault(
    make_examples: Callable[..., Any], make_tiny: Callable[..., Any]
) -> None:
    message = r"Own\.point_from\(\) returned tensor\(0\.5000\); expected a plain number"
    with pytest.raises(PluginError, match=message):
        step_of(make_tiny(KTO(), Own()), make_examples("binary", 3))


def test_a_lagging_point_and_its_estimate_are_the_same(
    make_examples: Callable[..., Any], make_tiny: Callable[..., Any]
) -> None:
    message = r"Apart\.point_from\(\) gave 0\.5, and estimate\(\) 0\.0; expected the same"
    with pytest.raises(PluginError, match=message):
        step_of(make_tiny(KTO(), Apart()), make_examples("binary", 3))


def test_a_lagging_point_that_is_not_finite_names_the_estimator_and_no_rows(
    make_examples: Callable[..., Any], make_tiny: Callable[..., Any]
) -> None:
    with pytest.raises(NotFiniteError, match="Unlimited estimated inf"):
        step_of(make_tiny(KTO(), Unlimited()), make_examples("binary", 3))


def rows(feedback: Feedback) -> list[dict[str, Any]]:
    answer = {"prompt": [{"role": "user", "content": "hi"}], "completion": "hello"}
    return [answer | ({"desirable": i > 0} if feedback == "binary" else {}) for i in range(3)]


def test_a_head_with_a_name_that_torch_uses_is_the_losss_fault(
    make_data: Callable[..., Any], make_context: Callable[..., StageContext], tiny_model: ModelInput
) -> None:
    class Keys(Plain):
        def heads(self) -> Any:
            return [Head("keys", at="end")]

    context = make_context(
        data={"data": make_data("binary", rows("binary"))}, models={"from": tiny_model}
    )
    with pytest.raises(PluginError, match=r"heads\(\) gave the name 'keys', which torch uses"):
        Train(data="d", loss=Keys(), device="cpu", steps=1).run(context)


def test_a_training_in_which_no_example_counts_ends_with_a_loss_of_zero(
    make_data: Callable[..., Any], make_context: Callable[..., StageContext], tiny_model: ModelInput
) -> None:
    loss = changed_loss(lambda batch, out: replace(out, weights=0 * out.counts))
    data = {"data": make_data("demonstration", rows("demonstration"))}
    context = make_context(data=data, models={"from": tiny_model})
    found = Train(data="d", loss=loss, device="cpu", steps=2).run(context)
    assert found.headline.endswith("the loss went from 0.000 to 0.000")


def test_points_within_pairs_that_are_no_tensor_are_the_estimators_fault(
    make_examples: Callable[..., Any], make_tiny: Callable[..., Any]
) -> None:
    message = r"Within\.within_pair\(\) returned list; expected a tensor, one point per pair"
    with pytest.raises(PluginError, match=message):
        step_of(make_tiny(KTO(), Within()), make_examples("paired", 3))
