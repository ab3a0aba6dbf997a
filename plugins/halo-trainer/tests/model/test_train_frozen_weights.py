"""A policy that equals its reference has log-ratios of exactly 0, in bfloat16 too."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForCausalLM

from halo_trainer.batch.packing import PackedRow, Scored, pack
from halo_trainer.model.frozen import hold_frozen
from halo_trainer.model.lora import apply_lora
from halo_trainer.model.lora_options import LoraOptions
from halo_trainer.model.probe import make_scorer, probe_row
from halo_trainer.model.scorer import Scorer
from halo_trainer.train.load_models import set_dropout

VOCABULARY = 60
SIZES = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "initializer_range": 0.3,
    "bos_token_id": 0,
    "eos_token_id": 1,
    "pad_token_id": 0,
}
GROUPED = SIZES | {"num_key_value_heads": 2, "head_dim": 8}
GPT2 = {"vocab_size": VOCABULARY, "n_embd": 32, "n_layer": 2, "n_head": 4, "initializer_range": 0.3}
EXPERTS = {"num_local_experts": 4, "num_experts_per_tok": 2}
MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("llama", GROUPED),
    "llama with tied head": ("llama", GROUPED | {"tie_word_embeddings": True}),
    "gemma3": ("gemma3_text", GROUPED | {"sliding_window": 6}),
    "gpt_neox": ("gpt_neox", SIZES),
    "qwen3": ("qwen3", GROUPED),
    "gpt2": ("gpt2", GPT2 | {"bos_token_id": 0, "eos_token_id": 1}),
    "opt": (
        "opt",
        SIZES | {"ffn_dim": 48, "word_embed_proj_dim": 32, "init_std": 0.3},
    ),
    "mixtral": ("mixtral", GROUPED | EXPERTS),
    "gpt_oss": ("gpt_oss", GROUPED | EXPERTS | {"sliding_window": 6}),
    "bloom": ("bloom", {"vocab_size": VOCABULARY, "hidden_size": 32, "n_layer": 2, "n_head": 4}),
}
WITH_EXPERTS = ("mixtral", "gpt_oss")


def scorer(name: str, dtype: torch.dtype = torch.bfloat16) -> Scorer:
    kind, options = MODELS[name]
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **options)).float().eval()
    set_dropout(model, 0.0)
    return make_scorer(model, compute_dtype=dtype, max_length=64, warn=lambda _: None)


def frozen(scorer: Scorer) -> tuple[Scorer, list[str]]:
    """The reference made from a scorer's weights, and the warnings."""
    reference, warnings = copy.deepcopy(scorer).eval().requires_grad_(False), []
    hold_frozen(reference, probe_row(reference.model, 64), warn=warnings.append)
    return reference, warnings


def row() -> PackedRow:
    rng = np.random.Generator(np.random.PCG64(3))
    lengths = ((3, 20), (10, 30), (1, 7), (25, 12))
    ids = [rng.integers(0, VOCABULARY, p + c).astype(np.int32) for p, c in lengths]
    return pack([Scored(i[:p], i[p:]) for i, (p, _) in zip(ids, lengths, strict=True)])


def logratios(policy: Scorer, reference: Scorer) -> Tensor:
    """Log-ratios of a training step: the policy has a gradient, and the reference has none."""
    logps = policy.train()(row()).token_logps
    assert logps.requires_grad
    with torch.no_grad():
        return (logps - reference(row()).token_logps).detach()


@pytest.mark.parametrize("name", MODELS)
def test_logratios_are_exactly_zero_where_the_policy_equals_its_reference(name: str) -> None:
    policy = scorer(name)
    reference, _ = frozen(policy)
    assert logratios(policy, reference).abs().max() == 0


@pytest.mark.parametrize("name", MODELS)
def test_logratios_of_adapters_that_are_zero_are_exactly_zero(name: str) -> None:
    policy = scorer(name)
    reference, _ = frozen(policy)
    policy.model = apply_lora(policy.model, LoraOptions(rank=2), seed=1)
    hold_frozen(policy, probe_row(policy.model, 64), warn=lambda _: None)
    assert logratios(policy, reference).abs().max() == 0


@pytest.mark.parametrize("name", MODELS)
def test_linear_layers_are_held_in_what_is_computed_in_and_the_rest_in_float32(name: str) -> None:
    reference, warnings = frozen(scorer(name))
    embeddings = {id(m.weight) for m in reference.modules() if isinstance(m, nn.Embedding)}
    for module in reference.modules():
        linear = isinstance(module, nn.Linear) or type(module).__name__ == "Conv1D"
        for parameter in module.parameters(recurse=False):
            halved = linear and id(parameter) not in embeddings
            assert parameter.dtype == (torch.bfloat16 if halved else torch.float32)
    assert {buffer.dtype for buffer in reference.buffers()} <= {torch.float32, torch.int64}
    told = [w.partition(" are held in float32")[0] for w in warnings]
    assert told == ["the frozen experts of the model"] * (name in WITH_EXPERTS)


def test_nothing_is_changed_where_float32_is_computed_in() -> None:
    reference, warnings = frozen(scorer("llama", torch.float32))
    assert {p.dtype for p in reference.parameters()} == {torch.float32}
    assert warnings == []


class Unrounded(nn.Linear):
    """A linear layer whose weights no autocast rounds."""

    def forward(self, states: Tensor) -> Tensor:
        with torch.autocast("cpu", enabled=False):
            return states.float() @ self.weight.float().T


def test_weights_that_autocast_does_not_round_stay_in_float32() -> None:
    policy = scorer("llama")
    layer = policy.model.model.layers[0].mlp
    odd = Unrounded(48, 32, bias=False)
    odd.weight = layer.down_proj.weight
    layer.down_proj = odd
    reference, warnings = frozen(policy)
    assert logratios(policy, reference).abs().max() == 0
    assert {p.dtype for p in reference.parameters()} == {torch.float32}
    assert [w.partition(" are held in float32")[0] for w in warnings] == ["the frozen weights"]
