"""Extra heads on a model: their inputs, their training, and their files."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file

from halo_core import ModelInput
from halo_core.errors import Interrupted
from halo_core.feedback import Feedback
from halo_core.loss import Head, Loss, LossBatch, LossOutput, Need
from halo_core.stage import StageContext, StopFlag
from halo_models.load import load_model, load_tokenizer
from halo_trainer.batch.batch_plan import BatchPlan
from halo_trainer.batch.micro_batch import collate
from halo_trainer.model.heads import make_heads
from halo_trainer.model.probe import make_scorer
from halo_trainer.model.scorer import Scorer
from halo_trainer.train.options import Train
from halo_trainer.train.step import backward

TOLERANCE = 1e-5
VALUE = Head("value", at="tokens", hidden_layers=1, detached=True)
SCORE = Head("score", at="end")


class Critic(Loss):
    """Predicts a constant with a head on every token, and also trains the model."""

    feedback: ClassVar[Feedback] = "binary"
    needs: ClassVar[tuple[Need, ...]] = ("policy_logps",)

    def heads(self) -> Sequence[Head]:
        return (VALUE,)

    def __call__(self, batch: LossBatch) -> LossOutput:
        errors = (batch.heads["value"] - 1) ** 2
        summed = errors.new_zeros(len(batch.desirable)).index_add(0, batch.sequence_index, errors)
        return LossOutput(summed - batch.policy_logps, torch.ones_like(summed))


class Preference(Loss):
    """A reward model: scores the chosen completion above the rejected one."""

    feedback: ClassVar[Feedback] = "paired"
    needs: ClassVar[tuple[Need, ...]] = ()

    def heads(self) -> Sequence[Head]:
        return (SCORE,)

    def __call__(self, batch: LossBatch) -> LossOutput:
        scores = batch.heads["score"]
        losses = -F.logsigmoid(scores[batch.desirable] - scores[~batch.desirable])
        return LossOutput(losses, torch.ones_like(losses), rewards=scores.detach())


def headed(model: Any, wanted: Sequence[Head], *, tokens: bool, route: Any = None) -> Scorer:
    scorer = make_scorer(model, compute_dtype=torch.float32, max_length=64, warn=pytest.fail)
    if route in ("padded", "alone"):
        model.set_attn_implementation("eager")
        scorer.route, scorer.together = "padded", route == "padded"
    scorer.add_heads(wanted, make_heads(wanted, model, seed=1), tokens=tokens)
    return scorer


@pytest.mark.parametrize("route", ["packed", "padded", "alone"])
@pytest.mark.parametrize("tokens", [True, False])
def test_heads_see_the_states_that_the_model_gives_for_each_sequence_alone(
    route: str, tokens: bool, make_examples: Callable[..., Any], tiny_model: ModelInput
) -> None:
    model = load_model(tiny_model, dtype=torch.float32, device="cpu")
    wanted = (VALUE, SCORE) if tokens else (SCORE,)
    examples = make_examples("paired", 3)
    expected = {head.name: [] for head in wanted}
    heads = make_heads(wanted, model, seed=1)
    with torch.no_grad():
        for c in (c for e in examples for c in e.completions):
            ids = torch.from_numpy(np.concatenate([c.prompt_ids, c.completion_ids])).long()
            states = model.model(ids[None]).last_hidden_state[0]
            parts = {"tokens": states[len(c.prompt_ids) - 1 : -1], "end": states[-1:]}
            for head in wanted:
                expected[head.name].append(heads[head.name](parts[head.at])[:, 0])
        scorer = headed(model, wanted, tokens=tokens, route=route)
        found = scorer(collate(examples, ends=True).row)
    for head in wanted:
        torch.testing.assert_close(
            found.heads[head.name], torch.cat(expected[head.name]), atol=TOLERANCE, rtol=TOLERANCE
        )


def test_log_probabilities_do_not_change_when_ends_are_in_the_row(
    make_examples: Callable[..., Any], tiny_model: ModelInput
) -> None:
    model = load_model(tiny_model, dtype=torch.float32, device="cpu")
    scorer = headed(model, (VALUE, SCORE), tokens=True)
    examples = make_examples("paired", 3)
    with torch.no_grad():
        plain = scorer(collate(examples).row)
        ended = scorer(collate(examples, ends=True).row)
    torch.testing.assert_close(ended.token_logps, plain.token_logps, atol=TOLERANCE, rtol=TOLERANCE)
    assert "score" not in plain.heads


def test_a_detached_head_leaves_the_model_alone_and_another_one_trains_it(
    make_examples: Callable[..., Any], tiny_model: ModelInput
) -> None:
    for detached in (True, False):
        model = load_model(tiny_model, dtype=torch.float32, device="cpu")
        head = Head("value", at="tokens", detached=detached)
        scorer = headed(model, (head,), tokens=True)
        scorer(collate(make_examples("binary", 3)).row).heads["value"].sum().backward()
        assert (model.model.layers[0].mlp.up_proj.weight.grad is None) == detached
        assert scorer.heads["value"][0].weight.grad.norm() > 0


def gradients(tiny: Any, examples: Sequence[Any]) -> dict[str, torch.Tensor]:
    plan = BatchPlan(len(examples), len(examples), seed=0, shuffled=False)
    batch = tiny.prepare(examples, plan.batch(1), plan.rng(1, "pairs"), {})
    named = dict(tiny.policy.named_parameters())
    backward(tiny.objective, batch, list(named.values()), stop=False, max_norm=None)
    return {name: p.grad for name, p in named.items()}


@pytest.mark.parametrize("loss", [Critic(), Preference()])
def test_the_gradient_of_heads_does_not_depend_on_micro_batches(
    loss: Loss, make_examples: Callable[..., Any], make_tiny: Callable[..., Any]
) -> None:
    examples = make_examples(loss.feedback, 7)
    found = []
    for budget in (1000, 30):
        tiny = make_tiny(loss, budget=budget)
        heads = make_heads(loss.heads(), tiny.policy.model, seed=1)
        tiny.policy.add_heads(loss.heads(), heads, tokens="policy_logps" in loss.needs)
        found.append(gradients(tiny, examples))
    for name, gradient in found[0].items():
        assert (found[1][name] - gradient).norm() <= 1e-5 * gradient.norm(), name


def test_every_weight_has_a_gradient_when_only_a_head_is_trained(
    make_examples: Callable[..., Any], make_tiny: Callable[..., Any]
) -> None:
    """Several processes wait for the gradient of each weight."""
    loss = Preference()
    tiny = make_tiny(loss)
    heads = make_heads(loss.heads(), tiny.policy.model, seed=1)
    tiny.policy.add_heads(loss.heads(), heads, tokens=False)
    found = gradients(tiny, make_examples("paired", 3))
    assert all(gradient is not None for gradient in found.values())
    assert found["model.lm_head.weight"].norm() == 0
    assert found["model.model.embed_tokens.weight"].norm() > 0


PAIRS = [
    {
        "prompt": [{"role": "user", "content": f"What does cow {i} say?"}],
        "chosen": f"moo {i}",
        "rejected": f"quack quack {i}",
    }
    for i in range(12)
]


@pytest.fixture
def train(
    make_data: Callable[..., Any], make_context: Callable[..., StageContext], tiny_model: ModelInput
) -> Callable[..., Path]:
    def go(loss: Loss, name: str, **options: Any) -> Path:
        rows = PAIRS
        if loss.feedback == "binary":
            rows = [
                {"prompt": r["prompt"], "completion": r["chosen"], "desirable": True} for r in PAIRS
            ]
        context = make_context(
            data={"data": make_data(loss.feedback, rows)},
            models={"from": tiny_model},
            name=name,
            stop=options.pop("stop", None),
        )
        given = {"batch_size": 4, "learning_rate": 1e-2, "device": "cpu", "data": "train"}
        Train(**given | options, loss=loss).run(context)
        return context.folder / "model"

    return go


def test_a_reward_model_is_a_sequence_classifier_that_scores_as_in_training(
    train: Callable[..., Path],
) -> None:
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    folder = train(Preference(), "reward", epochs=6)
    classifier = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert classifier.config.num_labels == 1
    assert json.loads((folder / "halo.json").read_text())["score_at"] == "completion-end"
    scores = {}
    for side in ("chosen", "rejected"):
        texts = [
            tokenizer.apply_chat_template(
                [*row["prompt"], {"role": "assistant", "content": row[side]}], tokenize=False
            )
            for row in PAIRS
        ]
        batch = tokenizer(
            [text.rstrip("\n") for text in texts],
            return_tensors="pt",
            padding=True,
            add_special_tokens=False,
        )
        with torch.no_grad():
            scores[side] = classifier(**batch).logits[:, 0]
    assert (scores["chosen"] > scores["rejected"]).all()
    assert tokenizer.pad_token_id not in (None, tokenizer.eos_token_id)


def test_a_reward_model_cannot_be_sampled_or_trained_as_a_language_model(
    train: Callable[..., Path],
) -> None:
    from halo_core.errors import ModelError

    folder = train(Preference(), "reward", steps=1)
    model = ModelInput(str(folder), None, "m")
    with pytest.raises(ModelError, match="LlamaForSequenceClassification is not a causal"):
        load_model(model, dtype=torch.float32, device="cpu")


def test_other_heads_lie_beside_the_model_and_the_model_is_an_ordinary_one(
    train: Callable[..., Path],
) -> None:
    folder = train(Critic(), "critic", steps=2)
    found = load_file(folder / "heads.safetensors")
    assert {name.split(".")[0] for name in found} == {"value"}
    model = ModelInput(str(folder), None, "m")
    load_model(model, dtype=torch.float32, device="cpu")
    load_tokenizer(model, None)


class StopAfter(StopFlag):
    """Asks to stop while the third step is computed."""

    left = 3

    def is_set(self) -> bool:
        self.left -= 1
        return self.left == 0


def test_a_resumed_head_is_the_one_of_an_uninterrupted_training(
    train: Callable[..., Path],
) -> None:
    whole = train(Critic(), "whole", steps=5)
    with pytest.raises(Interrupted):
        train(Critic(), "stopped", steps=5, stop=StopAfter())
    resumed = train(Critic(), "stopped", steps=5)
    for file in ("heads.safetensors", "model.safetensors"):
        expected, found = load_file(whole / file), load_file(resumed / file)
        assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())
