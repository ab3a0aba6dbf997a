"""The number of weights of a new model, from its configuration alone."""

from __future__ import annotations

import pytest
from transformers import LlamaConfig, LlamaForCausalLM

from halo_trainer.scratch.count_parameters import llama_parameters

SIZES = {
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
}


@pytest.mark.parametrize(
    "extra", [{}, {"tie_word_embeddings": True}, {"num_key_value_heads": 2}, {"head_dim": 8}]
)
def test_a_llamas_weights_are_counted_as_transformers_makes_them(extra: dict[str, int]) -> None:
    model = LlamaForCausalLM(LlamaConfig(**SIZES, **extra, vocab_size=50))
    assert llama_parameters({**SIZES, **extra}, 50) == sum(w.numel() for w in model.parameters())


def test_an_open_or_other_configuration_has_no_known_size() -> None:
    assert llama_parameters({"hidden_size": 16}, 50) is None
    assert llama_parameters({**SIZES, "model_type": "gpt2"}, 50) is None
