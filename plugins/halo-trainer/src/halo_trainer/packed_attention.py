"""Causal attention inside each sequence of a packed row, registered with transformers."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from halo_trainer.attention_layout import AttentionLayout

NAME = "halo_packed"
"""The name of this attention in transformers."""


def packed_attention(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    packed: AttentionLayout,
    scaling: float | None = None,
    dropout: float = 0.0,
    sliding_window: int | None = None,
    softcap: float | None = None,
    s_aux: Tensor | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    """Returns the attention output of a packed row, in the form transformers expects.

    Args:
        module: The attention layer.
        query: [1, heads, T, head size].
        key: [1, key heads, T, head size].
        value: As `key`.
        attention_mask: Unused: `packed` says which tokens belong together.
        packed: The layout, handed through by the model's forward.
        scaling: Factor of the scores; 1 / sqrt(head size) when left out.
        dropout: Rate of the attention weights.
        sliding_window: How many tokens a token sees, itself included; all when left out.
        softcap: Bound of the scores: softcap * tanh(score / softcap).
        s_aux: Attention sinks: a learned score per head that takes its share [heads].

    Returns:
        [1, T, heads, head size], and no attention weights.
    """
    scale = scaling if scaling is not None else 1 / math.sqrt(query.shape[-1])
    groups = query.shape[1] // key.shape[1]
    outputs = []
    for q, k, v in zip(*(packed.split(tensor) for tensor in (query, key, value)), strict=True):
        k, v = _per_head(k, groups), _per_head(v, groups)
        window = _window(q.shape[2], sliding_window, q.device)
        if softcap is None and s_aux is None:
            outputs.append(_fused(q, k, v, window, scale, dropout))
        else:
            outputs.append(_explicit(q, k, v, window, scale, dropout, softcap, s_aux))
    return packed.join(outputs), None


def _per_head(tensor: Tensor, groups: int) -> Tensor:
    return tensor if groups == 1 else tensor.repeat_interleave(groups, dim=1)


def _window(length: int, sliding_window: int | None, device: torch.device) -> Tensor | None:
    """Which keys a query sees where that is less than all before it [L, L] bool."""
    if sliding_window is None or sliding_window >= length:
        return None
    causal = torch.ones(length, length, dtype=torch.bool, device=device).tril()
    return causal.triu(1 - sliding_window)


def _fused(
    q: Tensor, k: Tensor, v: Tensor, window: Tensor | None, scale: float, dropout: float
) -> Tensor:
    return F.scaled_dot_product_attention(
        q, k, v, attn_mask=window, dropout_p=dropout, is_causal=window is None, scale=scale
    )


def _explicit(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    window: Tensor | None,
    scale: float,
    dropout: float,
    softcap: float | None,
    sinks: Tensor | None,
) -> Tensor:
    """Attention with its scores at hand, for what the fused kernels cannot do."""
    scores = (q @ k.transpose(2, 3)) * scale
    if softcap is not None:
        scores = softcap * torch.tanh(scores / softcap)
    seen = torch.ones_like(scores[0, 0], dtype=torch.bool).tril() if window is None else window
    scores = scores.float().masked_fill(~seen, -math.inf)
    if sinks is not None:
        sink = sinks.float().view(1, -1, 1, 1).expand(*scores.shape[:3], 1)
        scores = torch.cat([scores, sink], dim=-1)
    weights = scores.softmax(dim=-1)[..., : k.shape[2]].to(v.dtype)
    return F.dropout(weights, dropout) @ v


def register() -> None:
    """Makes the attention known to transformers by `NAME`; masks are made for it by nobody."""
    from transformers import AttentionInterface

    AttentionInterface.register(NAME, packed_attention)
