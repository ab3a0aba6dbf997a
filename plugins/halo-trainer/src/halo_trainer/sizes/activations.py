"""Bytes that a forward pass keeps for its backward pass, per token, from a model's architecture.

The numbers list what torch saves when transformers' layers compute with packed attention, which
keeps no matrix of tokens times tokens. `benchmarks/memory_model.py` counts what is really saved.
Where an activation is saved depends on the dtype of the weights:

* ``float32``: float32 everywhere.
* ``autocast``: float32 weights and hidden states, and matrix products in bfloat16. Each linear
  layer saves its own bfloat16 copy of its input. Experts compute in float32.
* ``bfloat16``: weights and hidden states in bfloat16, as sharding gathers them. Norms compute in
  float32.
"""

from __future__ import annotations

from typing import Literal

from halo_trainer.sizes.architecture import Architecture

Mode = Literal["float32", "autocast", "bfloat16"]


def block_bytes(model: Architecture, mode: Mode) -> int:
    """Returns the bytes that a block keeps per token.

    A model of another kind counts as the largest of the known kinds, with its own sizes.

    Args:
        model: The architecture.
        mode: The dtypes.
    """
    if model.kind == "gpt_neox":
        return _neox_block(model, mode)
    if model.kind == "llama":
        return _llama_block(model, mode)
    return max(_llama_block(model, mode), _neox_block(model, mode))


def residual_bytes(model: Architecture, mode: Mode) -> int:
    """Returns the bytes of a token's hidden state between blocks: all that checkpointing keeps."""
    return model.hidden * (2 if mode == "bfloat16" else 4)


def outer_bytes(model: Architecture, mode: Mode) -> int:
    """Returns the bytes kept per token outside of the blocks: embeddings, last norm, head."""
    wide = 2 if mode == "bfloat16" else 4
    norm = (wide if model.kind == "gpt_neox" else 4 + wide) * model.hidden
    if model.model_type == "gemma":
        norm = 8 * model.hidden
    states = wide * model.hidden
    positions = 2 * wide * model.head_size
    return norm + states + positions + 64


def backward_bytes(model: Architecture, mode: Mode) -> int:
    """Returns the bytes of gradients per token that exist together while a block goes backward.

    These are the gradients of three hidden states, and of the values of the feed-forward layer or
    of attention, whichever are more: the saved values of one are gone before the other's turn.

    Args:
        model: The architecture.
        mode: The dtypes.
    """
    narrow = 4 if mode == "float32" else 2
    wide = 2 if mode == "bfloat16" else 4
    copies = max(1, model.chosen)
    products = 4 if model.experts and mode != "bfloat16" else narrow
    inner = max(copies * products * 3 * model.wide, narrow * 4 * model.query)
    return inner + wide * 3 * model.hidden


def _attention(model: Architecture, narrow: int) -> int:
    # Queries, keys and values of all heads (those of shared heads are repeated), the output, and
    # a float32 log-sum per head.
    return narrow * 4 * model.query + 4 * model.heads


def _llama_block(model: Architecture, mode: Mode) -> int:
    hidden, query = model.hidden, model.query
    narrow = 4 if mode == "float32" else 2
    # Each of two norms saves its input and the normalised input, and one float32 number.
    norms = 2 * ((4 + 2) * hidden if mode == "bfloat16" else 8 * hidden) + 8
    if mode == "bfloat16" and model.model_type == "gemma":
        norms += 4 * hidden
    if model.model_type == "qwen3":
        norms += (4 + narrow) * (query + model.keys)
        norms += 4 * (model.heads + model.key_heads)
    inputs = narrow * (2 * hidden + query)
    if mode == "autocast":
        inputs = narrow * ((4 if model.experts else 5) * hidden + query)
    if not model.experts:
        return norms + inputs + _attention(model, narrow) + narrow * 4 * model.wide
    # Grouped products do not use autocast, so experts keep float32 unless their weights are narrow.
    product = 2 if mode == "bfloat16" else 4
    experts = model.chosen * (product * (4 * model.wide + 2 * hidden) + 40)
    routing = 4 * (model.experts + 2)
    return norms + inputs + _attention(model, narrow) + experts + routing


def _neox_block(model: Architecture, mode: Mode) -> int:
    hidden, query = model.hidden, model.query
    narrow = 4 if mode == "float32" else 2
    wide = 2 if mode == "bfloat16" else 4
    states = 1 if model.parallel else 2
    norms = states * wide * hidden + 4 * wide
    inputs = narrow * (2 * hidden + query)
    return norms + inputs + _attention(model, narrow) + narrow * 2 * model.wide
