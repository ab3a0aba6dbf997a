"""The one module through which all computation of a model goes."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor, nn

from halo_trainer import packed_attention
from halo_trainer.packing import PackedRow
from halo_trainer.token_logps import token_logps

Route = Literal["packed", "padded"]


class Scorer(nn.Module):
    """A language model as a function from packed sequences to token log-probabilities.

    Nothing outside touches a parameter or a submodule, so that whatever wraps it (DDP) or is
    inside (tied heads, adapters, models that transform their logits) just works. Only completion
    positions reach the output head.

    Args:
        model: A causal language model of transformers, or a peft model around one.
        route: ``packed`` computes no padding, and needs `packed_attention.NAME` as the model's
            attention; ``padded`` works for every model.
        compute_dtype: What matrix products are computed in, by autocast where the weights are
            float32.
    """

    def __init__(self, model: nn.Module, *, route: Route, compute_dtype: torch.dtype) -> None:
        super().__init__()
        self.model = model
        self.route = route
        self.compute_dtype = compute_dtype

    def forward(self, row: PackedRow) -> Tensor:
        """Returns the log-probability of each completion token of a row, nats, float32 [N]."""
        logits = self._packed_logits if self.route == "packed" else self._padded_logits
        device = row.input_ids.device.type
        reduced = self.compute_dtype != torch.float32
        with torch.autocast(device, self.compute_dtype, enabled=reduced):
            scores = logits(row)
        return token_logps(scores, row.targets)

    def _packed_logits(self, row: PackedRow) -> Tensor:
        output = self.model(
            input_ids=row.input_ids[None],
            position_ids=row.position_ids[None],
            logits_to_keep=row.scored,
            use_cache=False,
            packed=row.layout,
        )
        logits: Tensor = output.logits[0]
        return logits

    def _padded_logits(self, row: PackedRow) -> Tensor:
        """Returns the same from right-padded sequences; causality keeps the padding out."""
        sequence, position = row.sequence_ids, row.position_ids
        ids = row.input_ids.new_zeros(int(sequence[-1]) + 1, int(position.max()) + 1)
        ids[sequence, position] = row.input_ids
        mask = torch.zeros_like(ids)
        mask[sequence, position] = 1
        places = position[row.scored]
        first = int(places.min())
        kept = torch.arange(first, ids.shape[1], device=ids.device)
        output = self.model(
            input_ids=ids, attention_mask=mask, logits_to_keep=kept, use_cache=False
        )
        logits: Tensor = output.logits[sequence[row.scored], places - first]
        return logits


def use_packed_attention(model: Any) -> bool:
    """Returns whether a model took the packed attention; False where it cannot."""
    packed_attention.register()
    try:
        model.set_attn_implementation(packed_attention.NAME)
    except (ValueError, ImportError, NotImplementedError):
        return False
    return bool(model.config._attn_implementation == packed_attention.NAME)
