"""The rows that TRL computes at once, so that a step of it fits into the GPU's memory.

TRL pads all rows of a micro-batch to the longest one and does not choose their number. halo
measures what fits, so TRL gets the largest power of two that an estimate allows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from gpu.models import Size, arithmetic_of

SHARE = 0.8
"""Share of the free memory that activations may take by the estimate."""

LEAST = 2
"""TRL's KTO needs two rows, to pair each prompt with another completion."""


def micro_batch(size: Size, loss: str, rows: Sequence[Mapping[str, Any]], batch_size: int) -> int:
    """Returns the number of rows of a micro-batch, a power of two or the whole batch.

    Args:
        size: The model.
        loss: ``sft``, ``dpo`` or ``kto``.
        rows: All rows; a word is a token.
        batch_size: Number of rows per step.
    """
    if not torch.cuda.is_available():
        return batch_size
    longest = max(map(_longest, rows))
    sides = 2 if loss == "dpo" else 1
    room = SHARE * (torch.cuda.mem_get_info()[0] - _held_bytes(size, loss))
    rows_at_once = batch_size
    while rows_at_once > LEAST and rows_at_once * sides * longest * _token_bytes(size) > room:
        rows_at_once //= 2
    return rows_at_once


def _held_bytes(size: Size, loss: str) -> float:
    """Returns the bytes of weights, gradients, AdamW's state and reference."""
    model = arithmetic_of(size)
    weights = model.body(1) / 2 + model.hidden * model.vocabulary
    if not size.config["tie_word_embeddings"]:
        weights += model.hidden * model.vocabulary
    if size.lora:
        return 2 * weights  # bfloat16; the adapters are small, and without them it is the reference
    return (16 if loss == "sft" else 20) * weights


def _token_bytes(size: Size) -> float:
    """Returns the bytes that one token of a padded row keeps for the backward pass.

    Norms and residuals are kept in float32, matrices' inputs in bfloat16. Adapters keep their
    inputs once more. Scores of the vocabulary are there in bfloat16, and twice in float32.
    """
    model = arithmetic_of(size)
    layer = 36 * model.hidden + 8 * model.intermediate
    if size.lora:
        layer += 20 * model.hidden + 4 * model.intermediate
    return model.layers * layer + 10 * model.vocabulary


def _longest(row: Mapping[str, Any]) -> int:
    completions = (row[side] for side in ("chosen", "rejected", "completion") if side in row)
    prompt = len(row["prompt"][0]["content"].split())
    return prompt + max(len(text.split()) for text in completions)
