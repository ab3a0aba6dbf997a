"""Causal attention inside each sequence of a packed row, registered with transformers.

Sequences of similar length form a block, and attention is computed per block. A block is padded on
the right, and only for the attention itself, where padding costs little. Because of causality no
real query sees the padding, so no mask over all tokens of the row is needed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

SHORT = 32
"""Sequences up to this length share a block, regardless of padding."""

FILLED = 0.75
"""Longer sequences share a block with those of at least this share of its longest length."""


class Block(NamedTuple):
    """Sequences of similar length.

    Attributes:
        size: Number of sequences, G.
        length: Number of tokens of the longest sequence, L.
    """

    size: int
    length: int


@dataclass(frozen=True)
class AttentionLayout:
    """The places of a packed row's tokens in blocks. P is the sum of G * L over all blocks.

    Attributes:
        blocks: The blocks, beginning with the longest sequences.
        gather: The token at each place; after the end of a sequence, its last token [P].
        scatter: The place of each token [T].
    """

    blocks: tuple[Block, ...]
    gather: Tensor
    scatter: Tensor

    @classmethod
    def of(cls, lengths: Sequence[int]) -> AttentionLayout:
        """Returns the layout of sequences with these lengths (at least 1), in their order."""
        sizes = torch.tensor(lengths)
        starts = sizes.cumsum(0) - sizes
        scatter = torch.empty(int(sizes.sum()), dtype=torch.int64)
        blocks, gathers, offset = [], [], 0
        for members in _similar(lengths):
            block = Block(len(members), lengths[members[0]])
            places = torch.arange(block.length)
            ends = sizes[members, None] - 1
            gather = (starts[members, None] + torch.minimum(places, ends)).flatten()
            real = (places <= ends).flatten().nonzero()[:, 0]
            scatter[gather[real]] = offset + real
            blocks.append(block)
            gathers.append(gather)
            offset += len(gather)
        return cls(tuple(blocks), torch.cat(gathers), scatter)

    def to(self, device: torch.device) -> AttentionLayout:
        """Returns the layout with its tensors on a device."""
        gather, scatter = (t.to(device, non_blocking=True) for t in (self.gather, self.scatter))
        return AttentionLayout(self.blocks, gather, scatter)

    def split(self, tokens: Tensor) -> list[Tensor]:
        """Returns a tensor [1, heads, T, size] as one tensor [G, heads, L, size] per block."""
        rows = tokens[0].transpose(0, 1)
        places: Tensor = _ToPlaces.apply(rows, self.gather, self.scatter)  # type: ignore[no-untyped-call]
        parts = torch.split(places, [block.size * block.length for block in self.blocks])
        return [
            part.view(*block, *part.shape[1:]).transpose(1, 2)
            for part, block in zip(parts, self.blocks, strict=True)
        ]

    def join(self, parts: Sequence[Tensor]) -> Tensor:
        """Returns tensors [G, heads, L, size], one per block, as one tensor [1, T, heads, size]."""
        places = torch.cat([part.transpose(1, 2).flatten(0, 1) for part in parts])
        tokens: Tensor = _ToTokens.apply(places, self.gather, self.scatter)  # type: ignore[no-untyped-call]
        return tokens[None]


def _similar(lengths: Sequence[int]) -> list[list[int]]:
    """Returns sequences grouped by length, the longest first."""
    groups: list[list[int]] = []
    for i in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        longest = lengths[groups[-1][0]] if groups else 0
        if groups and (longest <= SHORT or lengths[i] >= FILLED * longest):
            groups[-1].append(i)
        else:
            groups.append([i])
    return groups


class _ToPlaces(torch.autograd.Function):
    """A gather. Each token has exactly one real place, so the gradient is a gather too."""

    @staticmethod
    def forward(ctx: Any, tokens: Tensor, gather: Tensor, scatter: Tensor) -> Tensor:
        ctx.save_for_backward(scatter)
        return tokens.index_select(0, gather)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        (scatter,) = ctx.saved_tensors
        return grads[0].index_select(0, scatter), None, None


class _ToTokens(torch.autograd.Function):
    """The inverse of `_ToPlaces`. The gradient of padding is zero."""

    @staticmethod
    def forward(ctx: Any, places: Tensor, gather: Tensor, scatter: Tensor) -> Tensor:
        ctx.save_for_backward(scatter)
        ctx.places = len(gather)
        return places.index_select(0, scatter)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        (scatter,) = ctx.saved_tensors
        places = grads[0].new_zeros(ctx.places, *grads[0].shape[1:])
        return places.index_copy_(0, scatter, grads[0]), None, None


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
    """Returns the attention output of a packed row, in the form that transformers expects.

    Args:
        module: The attention layer.
        query: [1, heads, T, head size].
        key: [1, key heads, T, head size].
        value: [1, key heads, T, head size].
        attention_mask: Not used, because `packed` says which tokens belong together.
        packed: The layout, passed through by the model's forward.
        scaling: Factor of the scores. 1 / sqrt(head size) if left out.
        dropout: Dropout rate of the attention weights.
        sliding_window: Number of tokens that a token sees, including itself. All if left out.
        softcap: Bound of the scores: softcap * tanh(score / softcap).
        s_aux: Attention sinks: one learned score per head that takes its share [heads].

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
    """Returns which keys a query sees if it does not see all earlier ones [L, L] bool."""
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
    """Returns attention with explicit scores, for cases that the fused kernels do not support."""
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
    """Registers the attention with transformers as `NAME`, without any masks."""
    from transformers import AttentionInterface

    AttentionInterface.register(NAME, packed_attention)
