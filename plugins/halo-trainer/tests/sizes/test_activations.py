"""The bytes that a backward pass needs, against what torch really saves."""

from __future__ import annotations

from typing import Any

import pytest
from saved_bytes import saved_bytes

from halo_trainer.sizes.activations import Mode, block_bytes, outer_bytes, residual_bytes
from halo_trainer.sizes.architecture import Architecture, architecture_of

# All sizes differ, so that no weight has the shape of an activation.
SIZES: dict[str, Any] = {
    "vocab_size": 200,
    "hidden_size": 112,
    "intermediate_size": 272,
    "num_attention_heads": 7,
    "num_key_value_heads": 7,
}
GROUPED = SIZES | {"hidden_size": 128, "num_attention_heads": 8, "num_key_value_heads": 2}
MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("llama", SIZES),
    "shared heads": ("llama", GROUPED),
    "qwen3": ("qwen3", GROUPED | {"head_dim": 16}),
    "gemma": (
        "gemma",
        SIZES | {"num_attention_heads": 4, "num_key_value_heads": 1, "head_dim": 32},
    ),
    "experts": ("mixtral", GROUPED | {"num_local_experts": 4, "num_experts_per_tok": 2}),
    "gpt_neox": ("gpt_neox", {k: v for k, v in GROUPED.items() if k != "num_key_value_heads"}),
}
TOLERANCE = 0.005
"""Relative difference between the formula and what is saved in a block."""
CASES = [
    ("llama", "autocast"),
    ("llama", "bfloat16"),
    ("shared heads", "float32"),
    ("qwen3", "autocast"),
    ("gemma", "bfloat16"),
    ("experts", "autocast"),
    ("gpt_neox", "float32"),
    ("gpt_neox", "autocast"),
    ("gpt_neox", "bfloat16"),
]


def per_block(name: str, mode: Mode, *, checkpointing: bool) -> tuple[float, float, Architecture]:
    """Returns the bytes per token of a block, those outside of blocks, and the architecture."""
    kind, sizes = MODELS[name]
    one, two = (
        saved_bytes(kind, sizes | {"num_hidden_layers": n}, mode, checkpointing=checkpointing)
        for n in (1, 2)
    )
    block = (two.activations - one.activations) / one.tokens
    shape = architecture_of({"model_type": kind, **sizes, "num_hidden_layers": 2})
    assert shape is not None
    if mode == "autocast" and not checkpointing:
        assert two.copies == pytest.approx(2 * shape.linear, rel=0.01)
    return block, one.activations / one.tokens - block, shape


@pytest.mark.parametrize(("name", "mode"), CASES)
def test_a_block_saves_what_the_formula_says(name: str, mode: Mode) -> None:
    block, outer, shape = per_block(name, mode, checkpointing=False)
    assert block_bytes(shape, mode) == pytest.approx(block, rel=TOLERANCE)
    # Only completion positions reach the output head, but all tokens count.
    assert outer <= outer_bytes(shape, mode)


@pytest.mark.parametrize(("name", "mode"), [("llama", "autocast"), ("gpt_neox", "bfloat16")])
def test_checkpointing_keeps_the_states_between_blocks_only(name: str, mode: Mode) -> None:
    block, outer, shape = per_block(name, mode, checkpointing=True)
    assert block == pytest.approx(residual_bytes(shape, mode), rel=TOLERANCE)
    assert outer <= outer_bytes(shape, mode)


def test_nothing_that_is_saved_grows_with_the_square_of_the_tokens() -> None:
    shape = architecture_of({"model_type": "llama", **SIZES, "num_hidden_layers": 1})
    assert shape is not None
    saved = saved_bytes("llama", SIZES | {"num_hidden_layers": 1}, "float32")
    expected = block_bytes(shape, "float32") + outer_bytes(shape, "float32")
    assert saved.activations <= expected * saved.tokens


def test_a_kind_that_is_not_known_counts_as_the_largest_known_one() -> None:
    config = {**GROUPED, "num_hidden_layers": 2}
    unknown = architecture_of({"model_type": "new", **config}, weights=10**6)
    llama = architecture_of({"model_type": "llama", **config})
    assert unknown is not None
    assert llama is not None
    assert block_bytes(unknown, "autocast") == block_bytes(llama, "autocast")
