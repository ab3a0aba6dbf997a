"""The load-balancing loss equals transformers' loss over the global batch, in any split."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.models.mixtral.modeling_mixtral import load_balancing_loss_func

from halo_core.errors import ModelError
from halo_core.stage import ModelInput, StageContext
from halo_methods.components import SFT
from halo_models.save import save_model_folder
from halo_trainer.batch.batch_plan import BatchPlan
from halo_trainer.model.lora import apply_lora
from halo_trainer.model.lora_options import LoraOptions
from halo_trainer.model.probe import make_scorer
from halo_trainer.model.router import experts_per_token
from halo_trainer.model.scorer import Scorer
from halo_trainer.train.objective import Objective
from halo_trainer.train.options import Train
from halo_trainer.train.prepare import prepare
from halo_trainer.train.ranks import Ranks
from halo_trainer.train.router_balance import router_balance
from halo_trainer.train.step import backward

SIZES = {
    "vocab_size": 60,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "initializer_range": 0.3,
    "bos_token_id": 0,
    "eos_token_id": 1,
    "pad_token_id": 0,
    "num_experts_per_tok": 2,
}
MODELS: dict[str, dict[str, Any]] = {
    "mixtral": {"num_local_experts": 4},
    "qwen3_moe": {"num_experts": 4, "moe_intermediate_size": 16},
    "gpt_oss": {"num_local_experts": 4, "sliding_window": 6},
}
WEIGHT = 0.3
RELATIVE = 1e-4


def make(kind: str, **options: Any) -> Any:
    torch.manual_seed(0)
    config = AutoConfig.for_model(kind, **SIZES | MODELS.get(kind, {}) | options)
    return AutoModelForCausalLM.from_config(config).float().eval()


def objective(model: Any, *, budget: int = 1000, weight: float = WEIGHT) -> Objective:
    policy = make_scorer(model, compute_dtype=torch.float32, max_length=64, warn=lambda _: None)
    policy.experts = experts_per_token(model) if weight else None
    return Objective(SFT(), policy, None, Ranks("cpu"), budget, 64, router_weight=weight)


def gradient(here: Objective, examples: Sequence[Any]) -> tuple[Any, dict[str, Tensor]]:
    positions = BatchPlan(len(examples), len(examples), seed=0, shuffled=False).batch(1)
    batch = prepare(here, None, examples, positions, random.Random(0), {})
    parameters = dict(here.policy.named_parameters())
    result = backward(here, batch, list(parameters.values()), stop=False, max_norm=None)
    return result, {n: p.grad for n, p in parameters.items() if p.grad is not None}


def by_transformers(model: Any, examples: Sequence[Any]) -> tuple[Tensor, Tensor]:
    """The method's loss and transformers' balancing loss, of sequences one at a time."""
    logps, tokens, routers = [], 0, []
    implementation = model.config._attn_implementation
    model.set_attn_implementation("eager")
    for completion in (c for example in examples for c in example.completions):
        ids = np.concatenate([completion.prompt_ids, completion.completion_ids])
        output = model(
            input_ids=torch.from_numpy(ids.astype(np.int64))[None, :-1], output_router_logits=True
        )
        start = len(completion.prompt_ids)
        found = output.logits[0].log_softmax(-1)[range(len(ids) - 1), ids[1:]]
        logps.append(found[start - 1 :].sum())
        tokens += len(ids) - start
        routers.append(output.router_logits)
    model.set_attn_implementation(implementation)
    layers = tuple(torch.cat(parts) for parts in zip(*routers, strict=True))
    balance = load_balancing_loss_func(layers, layers[0].shape[1], 2)
    return -torch.stack(logps).sum() / tokens, balance


@pytest.mark.parametrize("kind", MODELS)
def test_the_gradient_is_that_of_the_loss_and_of_transformers_balancing_loss(
    kind: str, make_examples: Callable[..., Any]
) -> None:
    examples = make_examples("demonstration", 7)
    model = make(kind)
    here = objective(model)
    loss, balance = by_transformers(model, examples)
    parameters = dict(here.policy.named_parameters())
    expected = torch.autograd.grad(
        loss + WEIGHT * balance, list(parameters.values()), allow_unused=True
    )
    result, found = gradient(here, examples)
    sums = result.metrics.sums()
    assert sums["router/loss"] == (pytest.approx(balance.item(), rel=RELATIVE), 1)
    assert result.loss == pytest.approx(loss.item(), rel=RELATIVE)
    for name, wanted in zip(parameters, expected, strict=True):
        if wanted is not None:
            torch.testing.assert_close(found[name], wanted, rtol=1e-3, atol=1e-5)
    routers = [n for n in found if "gate.weight" in n or "router.weight" in n]
    assert routers
    assert all(found[name].abs().max() > 0 for name in routers)


@pytest.mark.parametrize("budget", [1, 20, 45])
def test_the_gradient_does_not_depend_on_how_the_batch_is_cut(
    budget: int, make_examples: Callable[..., Any]
) -> None:
    examples = make_examples("demonstration", 7)
    whole, expected = gradient(objective(make("mixtral")), examples)
    cut, found = gradient(objective(make("mixtral"), budget=budget), examples)
    assert cut.metrics.sums()["router/loss"] == pytest.approx(whole.metrics.sums()["router/loss"])
    for name, wanted in expected.items():
        torch.testing.assert_close(found[name], wanted, rtol=1e-4, atol=1e-5)


def test_padding_is_not_counted(make_examples: Callable[..., Any]) -> None:
    examples = make_examples("demonstration", 5)
    here = objective(make("mixtral"))
    other = objective(make("mixtral"))
    assert isinstance(other.policy, Scorer)
    other.policy.model.set_attn_implementation("eager")
    other.policy.route = "padded"
    positions = BatchPlan(5, 5, seed=0, shuffled=False).batch(1)
    packed, padded = (
        router_balance(o, prepare(o, None, examples, positions, random.Random(0), {}))
        for o in (here, other)
    )
    assert torch.equal(packed.chosen, padded.chosen)
    assert (
        packed.rows
        == padded.rows
        == 2
        * sum(
            len(c.prompt_ids) + len(c.completion_ids) - 1 for e in examples for c in e.completions
        )
    )
    assert float(padded.loss) == pytest.approx(float(packed.loss), rel=RELATIVE)


def test_without_it_nothing_is_asked_of_the_routers(make_examples: Callable[..., Any]) -> None:
    examples = make_examples("demonstration", 5)
    result, found = gradient(objective(make("mixtral"), weight=0.0), examples)
    assert "router/loss" not in result.metrics.sums()
    loss, _ = by_transformers(make("mixtral"), examples)
    assert result.loss == pytest.approx(loss.item(), rel=RELATIVE)
    balanced = gradient(objective(make("mixtral")), examples)[1]
    name = next(n for n in found if "gate.weight" in n)
    assert not torch.allclose(found[name], balanced[name], rtol=1e-2)


def test_checkpointed_and_adapted_models_are_balanced_too(
    make_examples: Callable[..., Any],
) -> None:
    examples = make_examples("demonstration", 5)
    expected = gradient(objective(make("mixtral")), examples)[1]
    here = objective(make("mixtral"))
    assert isinstance(here.policy, Scorer)
    here.policy.model.gradient_checkpointing_enable({"use_reentrant": False})
    here.policy.train()
    found = gradient(here, examples)[1]
    for name, wanted in expected.items():
        torch.testing.assert_close(found[name], wanted, rtol=1e-4, atol=1e-5)
    adapted = objective(make("mixtral"))
    assert isinstance(adapted.policy, Scorer)
    adapted.policy.model = apply_lora(adapted.policy.model, LoraOptions(rank=2), seed=1)
    sums = gradient(adapted, examples)[0].metrics.sums()
    assert sums["router/loss"][0] == pytest.approx(
        router_value(make("mixtral"), examples), rel=RELATIVE
    )


def router_value(model: Any, examples: Sequence[Any]) -> float:
    return by_transformers(model, examples)[1].item()


@pytest.mark.parametrize("kind", ["llama", "gpt_neox", "gpt2"])
def test_a_model_without_routers_is_refused(kind: str) -> None:
    with pytest.raises(ModelError, match=r"has no routers whose load could be balanced"):
        experts_per_token(
            make(kind)
            if kind != "gpt2"
            else AutoModelForCausalLM.from_config(
                AutoConfig.for_model("gpt2", n_embd=32, n_layer=1, n_head=4, vocab_size=60)
            )
        )


def stage(folder: Any, make_data: Any, make_context: Any, **options: Any) -> Any:
    rows = [
        {"prompt": [{"role": "user", "content": f"{k} cow?"}], "completion": "the cow says moo"}
        for k in range(8)
    ]
    context: StageContext = make_context(
        data={"data": make_data("demonstration", rows)},
        models={"from": folder, "reference": folder},
        name=options.pop("name"),
    )
    known = {"data": "d", "loss": SFT(), "device": "cpu", "batch_size": 8, "optimizer": "Adam"}
    return Train(**known | options).run(context)


@pytest.fixture
def mixtral(tmp_path: Any, tiny_tokenizer: Any) -> ModelInput:
    model = make("mixtral", vocab_size=len(tiny_tokenizer), initializer_range=0.5)
    save_model_folder(tmp_path / "mixtral", model, tiny_tokenizer)
    return ModelInput(str(tmp_path / "mixtral"), None, "mixtral")


def test_routers_are_looked_for_before_anything_is_trained(mixtral: ModelInput) -> None:
    Train(data="d", loss=SFT(), router_aux_loss_coef=0.01).preflight({"from": mixtral})


def test_a_stage_balances_its_routers(
    mixtral: ModelInput, make_data: Any, make_context: Any
) -> None:
    options = {"steps": 20, "learning_rate": 0.01}
    much = stage(mixtral, make_data, make_context, name="much", router_aux_loss_coef=1.0, **options)
    little = stage(
        mixtral, make_data, make_context, name="little", router_aux_loss_coef=1e-9, **options
    )
    assert much.metrics["router_loss"] < little.metrics["router_loss"]
    assert (
        "router_loss" not in stage(mixtral, make_data, make_context, name="none", **options).metrics
    )


def test_a_stage_refuses_a_model_without_routers(
    tiny_model: ModelInput, make_data: Any, make_context: Any
) -> None:
    known = Train(data="d", loss=SFT(), router_aux_loss_coef=0.01)
    with pytest.raises(ModelError, match="LlamaForCausalLM has no routers"):
        known.preflight({"from": tiny_model})
    with pytest.raises(ModelError) as caught:
        stage(tiny_model, make_data, make_context, name="llama", router_aux_loss_coef=0.01)
    assert str(caught.value) == (
        "router_aux_loss_coef: LlamaForCausalLM has no routers whose load could be balanced. Leave "
        "router_aux_loss_coef out, or train a mixture of experts such as Mixtral, Qwen3-MoE or "
        "gpt-oss"
    )
