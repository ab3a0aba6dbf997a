"""The small model on which a large one is tried: it has each kind of block, and the same path."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from halo_core.errors import ModelError
from halo_trainer.model.probe import make_scorer
from halo_trainer.model.twin import make_scorer_by_twin, twin_config, twin_of

SIZES = {
    "vocab_size": 700,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 6,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "bos_token_id": 600,
    "eos_token_id": 601,
    "pad_token_id": 602,
    "initializer_range": 0.3,
}
KINDS: dict[str, dict[str, Any]] = {
    "llama": {},
    "gemma3_text": {"sliding_window": 6},
    "mixtral": {"num_local_experts": 4, "num_experts_per_tok": 2},
    "granite": {"logits_scaling": 4.0},
}


def make(kind: str, **options: Any) -> Any:
    torch.manual_seed(1)
    config = AutoConfig.for_model(kind, **SIZES | options)
    return AutoModelForCausalLM.from_config(config).float().eval()


def test_a_twin_has_the_first_block_of_each_kind_and_at_least_two() -> None:
    gemma = AutoConfig.for_model("gemma3_text", **SIZES)
    assert len(set(gemma.layer_types[:2])) == 1
    small = twin_config(gemma)
    assert sorted(small.layer_types) == ["full_attention", "sliding_attention"]
    assert (small.num_hidden_layers, gemma.num_hidden_layers) == (2, 6)
    assert twin_config(AutoConfig.for_model("llama", **SIZES)).num_hidden_layers == 2


def test_a_twin_has_few_tokens_and_its_special_tokens_are_among_them() -> None:
    small = twin_config(AutoConfig.for_model("llama", **SIZES))
    assert small.vocab_size == 512
    assert (small.bos_token_id, small.eos_token_id, small.pad_token_id) == (0, 0, 0)


@pytest.mark.parametrize("kind", KINDS)
def test_a_scorer_by_twin_takes_the_path_that_the_model_itself_allows(kind: str) -> None:
    model = make(kind, **KINDS[kind])
    own = make_scorer(make(kind, **KINDS[kind]), **OPTIONS)
    found = make_scorer_by_twin(model, **OPTIONS)
    for name in ("route", "chunked", "together", "shares", "layers"):
        assert getattr(found, name) == getattr(own, name)
    assert found.model is model
    assert model.config._attn_implementation == own.model.config._attn_implementation  # type: ignore[union-attr]


OPTIONS: dict[str, Any] = {"compute_dtype": torch.float32, "max_length": 64, "warn": print}


def test_twins_are_alike_and_leave_random_numbers_alone() -> None:
    model = make("llama")
    before = torch.random.get_rng_state()
    one, two = twin_of(model), twin_of(model)
    assert torch.equal(torch.random.get_rng_state(), before)
    weights = dict(two.named_parameters())
    assert all(torch.equal(p, weights[name]) for name, p in one.named_parameters())


def test_a_model_without_a_twin_is_refused_with_advice(monkeypatch: pytest.MonkeyPatch) -> None:
    model = make("llama")

    def fails(*_: Any, **__: Any) -> Any:
        raise ValueError("no")

    monkeypatch.setattr(type(model), "_from_config", fails)
    with pytest.raises(ModelError, match=r"LlamaForCausalLM cannot be built with 2 blocks .*none"):
        twin_of(model)
