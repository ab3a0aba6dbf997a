"""Losses that look at the whole global batch, at their own pair, at samples and at counts."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pytest
import torch
from pydantic import Field
from torch import Tensor

from halo_core import ModelInput
from halo_core.errors import DataError, PluginError
from halo_core.feedback import Feedback
from halo_core.loss import ClassCounts, Loss, LossBatch, LossOutput, Need, Settled
from halo_core.reference_point import (
    Estimate,
    Observed,
    Observes,
    Pair,
    PairingPlan,
    RefPointEstimator,
)
from halo_core.rows import DataSet
from halo_core.stage import StageContext
from halo_methods.components import KTO, MismatchedKL
from halo_trainer.batch.batch_plan import BatchPlan
from halo_trainer.batch.fixed_partners import fixed_partner
from halo_trainer.encode.reference_samples import WithSamples
from halo_trainer.encode.rows_to_tokens import EncodingOptions, encode
from halo_trainer.train.metrics import means
from halo_trainer.train.options import Train
from halo_trainer.train.ranks import Ranks
from halo_trainer.train.settle_loss import settle_loss
from halo_trainer.train.setup import set_up
from halo_trainer.train.step import Gradient, backward

RELATIVE = 1e-5


def gradient_of(
    tiny: Any, examples: Sequence[Any]
) -> tuple[Gradient, dict[str, torch.Tensor | None]]:
    plan = BatchPlan(len(examples), len(examples), seed=0, shuffled=False)
    batch = tiny.prepare(examples, plan.batch(1), plan.rng(1, "pairs"), {})
    named = dict(tiny.policy.named_parameters())
    found = backward(tiny.objective, batch, list(named.values()), stop=False, max_norm=None)
    return found, {name: p.grad for name, p in named.items()}


def check_equal(found: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
    for name, gradient in expected.items():
        assert (found[name] - gradient).norm() <= RELATIVE * gradient.norm(), name


class Centred(Loss):
    """Squares of log-probabilities around their mean over the global batch."""

    feedback: ClassVar[Feedback] = "demonstration"
    needs: ClassVar[tuple[Need, ...]] = ("policy_logps", "statistics")

    def statistics(self, batch: LossBatch) -> dict[str, Tensor]:
        logps = batch.policy_logps.detach()
        return {"count": logps.new_tensor(float(len(logps))), "sum": logps.sum()}

    def __call__(self, batch: LossBatch) -> LossOutput:
        mean = batch.statistics["sum"] / batch.statistics["count"]
        losses = (batch.policy_logps - mean) ** 2
        return LossOutput(losses, torch.ones_like(losses))


def test_statistics_are_those_of_the_whole_batch_however_it_is_cut(
    make_examples: Callable[..., Any], make_tiny: Callable[..., Any]
) -> None:
    examples = make_examples("demonstration", 9)
    whole, expected = gradient_of(make_tiny(Centred()), examples)
    cut, found = gradient_of(make_tiny(Centred(), budget=25), examples)
    check_equal(found, expected)
    assert cut.loss == pytest.approx(whole.loss, rel=RELATIVE)
    assert whole.loss > 0


class Gap(Loss):
    """The difference between reward and reference point, with a gradient through both."""

    feedback: ClassVar[Feedback] = "binary"
    needs: ClassVar[tuple[Need, ...]] = ("policy_logps", "reference_logps", "reference_point")
    default_reference_point: ClassVar[str | None] = "zero"

    def __call__(self, batch: LossBatch) -> LossOutput:
        assert batch.reference_point is not None
        assert batch.desirable.all()
        gaps = batch.logratios - batch.reference_point
        losses = -torch.nn.functional.logsigmoid(0.1 * gaps)
        return LossOutput(losses, torch.ones_like(losses), 0.1 * batch.logratios.detach())


class Rejected(RefPointEstimator):
    """The log-ratio of the rejected completion."""

    observes: ClassVar[Observes] = "pair"

    def within_pair(self, chosen_logratios: Tensor, rejected_logratios: Tensor) -> Tensor:
        return rejected_logratios


class OnePoint(Rejected):
    """Returns one point for all pairs, which is wrong."""

    def within_pair(self, chosen_logratios: Tensor, rejected_logratios: Tensor) -> Tensor:
        return rejected_logratios.mean()


def test_a_point_within_the_pair_is_differentiated_and_gives_dpo(
    make_examples: Callable[..., Any], make_tiny: Callable[..., Any]
) -> None:
    from halo_methods.components import DPO

    examples = make_examples("paired", 7)
    expected, gradients = gradient_of(make_tiny(DPO(beta=0.1), budget=40), examples)
    found, same = gradient_of(make_tiny(Gap(), Rejected(), budget=40), examples)
    assert found.loss == pytest.approx(expected.loss, rel=RELATIVE)
    check_equal(same, gradients)
    shown = means(found.metrics.sums())
    assert shown["rewards/desirable"] == pytest.approx(
        means(expected.metrics.sums())["rewards/chosen"], rel=1e-4
    )


def test_points_of_the_wrong_shape_are_the_plugins_fault(
    make_examples: Callable[..., Any], make_tiny: Callable[..., Any]
) -> None:
    with pytest.raises(PluginError, match=r"points of the shape \(\) for 3 pairs"):
        gradient_of(make_tiny(Gap(), OnePoint()), make_examples("paired", 3))


def test_a_point_within_pairs_makes_the_stage_read_pairs() -> None:
    stage = Train(data="d", loss=Gap(), reference_point=Rejected(), evaluate={"test": "d"})
    assert stage.feedback_wanted() == {"data": "paired", "evaluate": "paired"}
    assert not stage.mistakes()
    from halo_methods.components import SFT

    wrong = Train(data="d", loss=SFT(), reference_point=Rejected())
    assert "takes the point from within pairs" in str(wrong.mistakes())


class Fixed(RefPointEstimator):
    """Pairs each prompt with its fixed partner, and records its inputs."""

    observes: ClassVar[Observes] = "mismatched"
    seen: ClassVar[list[PairingPlan]] = []

    def partners(self) -> Literal["batch", "fixed"]:
        return "fixed"

    def pairs(self, plan: PairingPlan, rng: Any) -> Sequence[Pair]:
        self.seen.append(plan)
        first = len(plan.batch) + len(plan.following)
        return [Pair(i, first + i) for i in range(len(plan.batch))]

    def estimate(self, observed: Observed, state: Mapping[str, float]) -> Estimate:
        return Estimate(sum(observed.logratios))


def test_fixed_partners_are_one_derangement_that_avoids_the_same_prompt(
    make_examples: Callable[..., Any],
) -> None:
    examples = make_examples("binary", 30)
    partners = [fixed_partner(examples, i, seed=3) for i in range(30)]
    assert sorted(partners) == list(range(30))
    assert all(i != partner for i, partner in enumerate(partners))
    assert partners != [fixed_partner(examples, i, seed=4) for i in range(30)]
    twins = [replace(e, prompt_id=f"p{i % 2}") for i, e in enumerate(examples)]
    assert all((i - fixed_partner(twins, i, seed=3)) % 2 == 1 for i in range(30))
    same = [replace(e, prompt_id="p") for e in examples]
    assert [fixed_partner(same, i, seed=3) for i in range(30)] == list(range(30))


def test_an_estimator_gets_the_same_fixed_partners_in_every_epoch(
    make_examples: Callable[..., Any], make_tiny: Callable[..., Any]
) -> None:
    examples = make_examples("binary", 8)
    tiny = make_tiny(Gap(), Fixed())
    plan = BatchPlan(8, 4, seed=0)
    Fixed.seen.clear()
    for step in (1, 2, 3, 4):
        tiny.prepare(examples, plan.batch(step), plan.rng(step, "pairs"), {})
    partners = [
        {
            ours.prompt_id: theirs.prompt_id
            for seen in Fixed.seen[epoch : epoch + 2]
            for ours, theirs in zip(seen.batch, seen.fixed, strict=True)
        }
        for epoch in (0, 2)
    ]
    assert partners[0] == partners[1]
    assert len(partners[0]) == 8


def test_fixed_partners_are_scored_at_every_step_as_their_description_says(
    make_examples: Callable[..., Any], make_tiny: Callable[..., Any]
) -> None:
    examples = make_examples("binary", 8)
    rows: dict[str, list[int]] = {}
    for pairing in ("batch", "fixed"):
        tiny = make_tiny(KTO(), MismatchedKL(pairing=pairing))
        scored = rows.setdefault(pairing, [])
        tiny.reference.register_forward_hook(lambda *_, scored=scored: scored.append(1))
        plan = BatchPlan(8, 8, seed=0)
        for step in (1, 2, 3):
            tiny.prepare(examples, plan.batch(step), plan.rng(step, "pairs"), {})
    # At each step, the own completions and then the pairs.
    assert rows == {"batch": [1] * 6, "fixed": [1] * 6}
    description = MismatchedKL.model_fields["pairing"].description
    assert description is not None
    assert "The policy scores the pairs at every step, and so does the reference." in description


class Regularised(Loss):
    """The likelihood of samples of the reference, and nothing else."""

    feedback: ClassVar[Feedback] = "paired"
    needs: ClassVar[tuple[Need, ...]] = ("policy_logps", "reference_samples")

    def __call__(self, batch: LossBatch) -> LossOutput:
        losses = -batch.samples.policy_logps
        assert len(batch.chosen.lengths) == len(batch.rejected.lengths) == len(losses)
        return LossOutput(losses, torch.ones_like(losses), torch.zeros_like(batch.policy_logps))


PAIRS = [
    {"prompt": [{"role": "user", "content": f"cow {i}?"}], "chosen": "moo", "rejected": "quack"}
    for i in range(4)
]


@pytest.fixture
def sampled(
    make_data: Callable[..., DataSet],
    make_context: Callable[..., StageContext],
    tiny_model: ModelInput,
    tmp_path: Path,
) -> Callable[..., StageContext]:
    """A context whose first `count` prompts were sampled."""
    from halo_core.feedback import prompt_id

    def make(count: int, warnings: list[str] | None = None) -> StageContext:
        folder = tmp_path / "samples"
        folder.mkdir()
        rows = [
            {
                "prompt_id": prompt_id(row["prompt"]),
                "prompt": row["prompt"],
                "completion": "",
                "tokens": 2,
                "token_ids": [5 + i, 6],
                "finish": "stop" if i else "length",
            }
            for i, row in enumerate(PAIRS[:count])
        ]
        (folder / "samples.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        context = make_context(
            data={"data": make_data("paired", PAIRS)},
            models={"from": tiny_model},
            warnings=warnings,
        )
        return replace(context, inputs={"samples": folder})

    return make


def test_samples_of_the_reference_are_the_last_completion_of_each_example(
    sampled: Callable[..., StageContext],
) -> None:
    stage = Train(data="d", loss=Regularised(), samples="answers", device="cpu", batch_size=4)
    assert not stage.mistakes()
    context = sampled(4)
    training = set_up(stage.recipe(), context, Ranks("cpu"))
    end = training.start.tokenizer.eos_token_id
    found = [example.completions for example in training.data]
    assert [c.sampled for c in found[1]] == [False, False, True]
    assert found[0][2].completion_ids.tolist() == [5, 6]
    assert found[1][2].completion_ids.tolist() == [6, 6, end]
    assert (found[1][2].prompt_ids == found[1][0].prompt_ids).all()
    result = stage.run(context)
    assert result.metrics["loss"] > 0
    assert result.metrics["rewards_margins"] == 0


def test_samples_of_another_tokenizer_are_tokenised_again_and_counted(
    sampled: Callable[..., StageContext],
) -> None:
    stage = Train(data="d", loss=Regularised(), samples="answers", device="cpu", batch_size=4)
    warnings: list[str] = []
    context = sampled(4, warnings)
    path = context.inputs["samples"] / "samples.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    lines[1] |= {"completion": "quack", "tokenizer": "other", "template": "other"}
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    training = set_up(stage.recipe(), context, Ranks("cpu"))
    tokenizer = training.start.tokenizer
    ids = [example.completions[2].completion_ids.tolist() for example in training.data]
    assert ids[1] == [*tokenizer("quack")["input_ids"], tokenizer.eos_token_id]
    assert ids[2] == [7, 6, tokenizer.eos_token_id]
    assert any(line.startswith("1 samples of the reference were sampled") for line in warnings)


def test_prompts_without_a_sample_are_counted(sampled: Callable[..., StageContext]) -> None:
    stage = Train(data="d", loss=Regularised(), samples="answers", device="cpu")
    with pytest.raises(DataError, match="1 of its 4 prompts have no sample of the reference"):
        set_up(stage.recipe(), sampled(3), Ranks("cpu"))


def test_a_sample_that_is_too_long_loses_its_end(
    make_examples: Callable[..., Any], tmp_path: Path
) -> None:
    (example,) = make_examples("paired", 1)
    samples = {example.prompt_id: np.arange(50, dtype=np.int32)}
    length = len(example.completions[0].prompt_ids) + 5
    (found,) = WithSamples([example], samples, max_length=length, name="data")
    assert found.completions[2].completion_ids.tolist() == [0, 1, 2, 3, 4]


def test_samples_and_the_losses_that_want_them_go_together() -> None:
    lacking = dict(Train(data="d", loss=Regularised()).mistakes())
    assert "name a sample stage that answers every prompt" in lacking["samples"]
    useless = dict(Train(data="d", loss=Centred(), samples="answers").mistakes())
    assert useless["samples"] == "the loss uses no samples of the reference; leave it out"


class Weighing(Centred):
    """Sets its weight from the counts."""

    weight: int = Field(default=0, description="Weight of the desirable completions.")

    def settle(self, counts: ClassCounts) -> Settled:
        caution = "too few" if counts.undesirable < 2 else None
        weighed = self.model_copy(update={"weight": counts.desirable})
        return Settled(weighed, f"{counts.desirable} to {counts.undesirable}", caution)


@pytest.mark.parametrize("rows", [2, 6])
def test_a_loss_is_told_the_counts_of_the_data(
    rows: int, make_examples: Callable[..., Any]
) -> None:
    examples = make_examples("binary", rows)
    loss, remark = settle_loss(Weighing(), "binary", examples)
    undesirable = sum(not e.completions[0].desirable for e in examples)
    assert loss == Weighing(weight=rows - undesirable)
    assert remark == f"{rows - undesirable} to {undesirable}"


def test_a_pair_has_one_completion_of_each_class(make_examples: Callable[..., Any]) -> None:
    assert settle_loss(Weighing(), "paired", make_examples("paired", 3))[1] == "3 to 3"


def test_data_without_classes_are_not_counted(make_examples: Callable[..., Any]) -> None:
    loss = Weighing()
    assert settle_loss(loss, "demonstration", make_examples("demonstration", 3)) == (loss, "")


def test_samples_without_token_ids_are_named_by_file_and_line(
    sampled: Callable[..., StageContext],
) -> None:
    context = sampled(len(PAIRS))
    path = context.inputs["samples"] / "samples.jsonl"
    path.write_text(path.read_text().replace('"token_ids"', '"ids"', 1))
    stage = Train(data="d", loss=Regularised(), samples="answers", device="cpu", batch_size=4)
    message = rf"^{path}:1: got .* without token_ids; expected a JSON object with .*finish\."
    with pytest.raises(DataError, match=message):
        stage.run(context)


def test_encoded_data_are_counted_as_their_examples_are(
    make_data: Callable[..., DataSet], tiny_tokenizer: Any, tmp_path: Path
) -> None:
    rows = [
        {"prompt": [{"role": "user", "content": f"{i}?"}], "completion": "moo", "desirable": i < 2}
        for i in range(5)
    ]
    options = EncodingOptions(max_length=60, max_prompt_length=30)
    encoded = encode(make_data("binary", rows), tiny_tokenizer, options=options, cache=tmp_path)
    assert settle_loss(Weighing(), "binary", encoded)[1] == "2 to 3"
    assert settle_loss(Weighing(), "binary", list(encoded))[1] == "2 to 3"
