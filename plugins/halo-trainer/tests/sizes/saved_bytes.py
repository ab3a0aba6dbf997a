"""Counts the bytes that a small model's forward pass saves for its backward pass."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM

from halo_trainer.batch.packing import Scored, pack
from halo_trainer.model.probe import make_scorer


@dataclass(frozen=True)
class Saved:
    """Bytes that are saved, each storage once.

    Attributes:
        activations: Bytes of activations.
        copies: Bytes of copies of weights.
        tokens: Number of tokens.
    """

    activations: int
    copies: int
    tokens: int


def saved_bytes(
    kind: str,
    sizes: dict[str, Any],
    mode: Literal["float32", "autocast", "bfloat16"],
    *,
    checkpointing: bool = False,
) -> Saved:
    """Returns the bytes that a scorer saves for three packed sequences of 60 tokens.

    Args:
        kind: The kind of model.
        sizes: Its configuration.
        mode: The dtypes of weights and products.
        checkpointing: Whether activations are computed twice.
    """
    torch.manual_seed(0)
    config = AutoConfig.for_model(kind, **sizes, bos_token_id=None, eos_token_id=1)
    model = AutoModelForCausalLM.from_config(config).eval()
    compute = torch.float32 if mode == "float32" else torch.bfloat16
    scorer = make_scorer(model, compute_dtype=compute, max_length=128, warn=print)
    if mode == "bfloat16":
        model.to(torch.bfloat16)
    if checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    scorer.train()
    rng = np.random.default_rng(0)
    vocabulary = config.vocab_size
    row = pack(
        [Scored(rng.integers(2, vocabulary, 20), rng.integers(2, vocabulary, 41)) for _ in range(3)]
    )
    own = {weight.untyped_storage().data_ptr() for weight in scorer.parameters()}
    shapes = {tuple(weight.shape) for weight in scorer.parameters()}
    shapes |= {shape[::-1] for shape in shapes}
    kept: dict[int, tuple[Tensor, int]] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            # The tensor is held, so that no later one gets the same address.
            kept.setdefault(storage.data_ptr(), (tensor, storage.nbytes()))
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        output = scorer(row)
    assert output.token_logps.requires_grad
    copies = sum(size for tensor, size in kept.values() if tuple(tensor.shape) in shapes)
    total = sum(size for _, size in kept.values())
    return Saved(total - copies, copies, row.input_ids.numel())
