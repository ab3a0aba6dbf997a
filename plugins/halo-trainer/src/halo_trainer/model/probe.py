"""Tests whether a model computes packed sequences correctly."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from halo_core.errors import ModelError
from halo_models.finite import look_over
from halo_trainer.batch.packing import PackedRow, Scored, pack
from halo_trainer.model.scorer import Route, Scorer, token_logps, use_packed_attention

PROBE_LENGTHS = ((3, 9), (1, 4), (17, 6))
"""Prompt and completion tokens of the test sequences."""

RELATIVE_TOLERANCE = 1e-4
"""Largest difference of a token's log-probability that counts as rounding, in float32, relative to
the largest log-probability plus 1 nat."""


def make_scorer(
    model: Any, *, compute_dtype: torch.dtype, max_length: int, warn: Callable[[str], None]
) -> Scorer:
    """Returns a scorer that agrees with the model's own logits, token by token.

    Sequences are packed if a probe gives the same results as the model for each sequence alone.
    Otherwise they are padded, with a warning. The probe is computed in float32, so that rounding
    cannot hide a wrong mask.

    Args:
        model: A causal language model of transformers in float32 and evaluation mode, not wrapped.
        compute_dtype: The dtype in which the scorer computes.
        max_length: Largest length of a probe.
        warn: Receives a warning if the sequences will be padded.

    Raises:
        ModelError: When the padded path does not agree either, or the model gives no
            finite numbers.
    """
    original = model.config._attn_implementation
    row = probe_row(model, max_length)
    expected = _alone(model, _probes(model, max_length))
    if not expected.isfinite().all():
        largest = look_over(model.named_parameters()).largest
        raise ModelError(
            f"{type(model).__name__} gives no finite numbers for random tokens, though its weights "
            f"are finite, up to {largest:.3g}; expected a model whose training did not diverge. "
            "Train it again with a lower learning_rate"
        )
    if use_packed_attention(model) and _agrees(model, "packed", row, expected):
        return Scorer(model, route="packed", compute_dtype=compute_dtype)
    model.set_attn_implementation(original)
    if not _agrees(model, "padded", row, expected):
        raise ModelError(
            f"{type(model).__name__} gives other log-probabilities for several sequences than for "
            "each alone, so it cannot be trained; expected a causal language model that takes "
            "attention_mask and logits_to_keep"
        )
    warn(
        f"{type(model).__name__} does not give the same log-probabilities with packed sequences, "
        "so they are padded; the results are right, but training is slower"
    )
    return Scorer(model, route="padded", compute_dtype=compute_dtype)


def _agrees(model: nn.Module, route: Route, row: PackedRow, expected: Tensor) -> bool:
    scorer = Scorer(model, route=route, compute_dtype=torch.float32)
    try:
        with torch.no_grad():
            logps = scorer(row).token_logps
    except (TypeError, ValueError, RuntimeError, IndexError):
        return False
    tolerance = RELATIVE_TOLERANCE * (1 + expected.abs().max())
    return bool((logps - expected).abs().max() <= tolerance)


def probe_row(model: Any, max_length: int) -> PackedRow:
    """Returns the packed test sequences of a model, on its device.

    Args:
        model: A causal language model of transformers, not wrapped.
        max_length: Largest length of a sequence.
    """
    return pack(_probes(model, max_length)).to(next(model.parameters()).device)


def _alone(model: Any, sequences: list[Scored]) -> Tensor:
    """Returns the log-probabilities of the sequences from the model itself, one at a time."""
    device = next(model.parameters()).device
    logps = []
    with torch.no_grad():
        for sequence in sequences:
            ids = np.concatenate([sequence.prompt_ids, sequence.completion_ids])
            tokens = torch.from_numpy(ids.astype(np.int64)).to(device)
            logits = model(input_ids=tokens[None, :-1], use_cache=False).logits[0]
            start = len(sequence.prompt_ids)
            logps.append(token_logps(logits[start - 1 :], tokens[start:]))
    return torch.cat(logps)


def _probes(model: Any, max_length: int) -> list[Scored]:
    """Returns random sequences. If possible, one is longer than the window that a token sees."""
    config = model.config.get_text_config()
    lengths = list(PROBE_LENGTHS)
    for name in ("sliding_window", "attention_chunk_size"):
        if 0 < (getattr(config, name, None) or 0) < max_length:
            lengths.append((getattr(config, name), 5))
    rng = np.random.Generator(np.random.PCG64(0))
    return [
        _cut(rng.integers(0, config.vocab_size, prompt + completion), prompt, max_length)
        for prompt, completion in lengths
    ]


def _cut(ids: Any, prompt: int, max_length: int) -> Scored:
    ids = ids[:max_length].astype(np.int32)
    prompt = min(prompt, len(ids) - 1)
    return Scored(ids[:prompt], ids[prompt:])
