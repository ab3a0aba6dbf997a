"""Causal attention inside each sequence of a packed row, registered with transformers.

A row consists of segments. Most are whole sequences. A branch continues a prompt that is in another
segment, or in a row that was computed before, and attends to the keys and values of that prompt.

Segments of similar length form a block, and attention is computed per block. A block is padded on
the right, and only for the attention itself, where padding costs little. Because of causality no
real query of a whole sequence sees the padding, so no mask over all tokens of the row is needed.
Blocks of branches have a mask: a query sees keys by their position in the sequence.

On a GPU whose kernel for sequences of different lengths was tested, no block is needed: see
`variable_length`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from halo_trainer.batch import variable_length
from halo_trainer.batch.variable_length import Heads, Lengths

SHORT = 32
"""Segments up to this length share a block, regardless of padding."""

FILLED = 0.75
"""Longer segments share a block with those of at least this share of its longest length."""

UNSEEN = 1 << 40
"""Position of a key that is only padding, after that of every query."""


class Segment(NamedTuple):
    """Tokens of a row that follow each other in a sequence.

    Attributes:
        start: Position of the first token in the row.
        length: Number of tokens, at least 1.
        prefix_start: First earlier token of the sequence, as a position among all keys: those of
            the base row, if any, and then the row's.
        prefix: Number of earlier tokens of the sequence, 0 for a whole sequence.
    """

    start: int
    length: int
    prefix_start: int = 0
    prefix: int = 0


@dataclass(frozen=True)
class Block:
    """Segments of similar length.

    Attributes:
        size: Number of segments, G.
        length: Number of queries of each segment with padding, L.
        keys: Number of keys of each segment with padding, K; L for whole sequences.
        query_positions: Position of each query in its sequence [G, L]; None for whole sequences.
        key_positions: Position of each key, or `UNSEEN` [G, K]; None for whole sequences.
    """

    size: int
    length: int
    keys: int
    query_positions: Tensor | None = None
    key_positions: Tensor | None = None

    def mask(self, window: int | None, device: torch.device) -> Tensor | None:
        """Returns which keys each query sees [L, K] or [G, 1, L, K] bool; None for all earlier.

        Args:
            window: Number of tokens that a token sees, including itself; None for all.
            device: Device of the mask.
        """
        if self.query_positions is not None and self.key_positions is not None:
            behind = self.query_positions[:, None, :, None] - self.key_positions[:, None, None, :]
            seen = behind >= 0
            return seen if window is None else seen & (behind < window)
        if window is None or window >= self.length:
            return None
        causal = torch.ones(self.length, self.length, dtype=torch.bool, device=device).tril()
        return causal.triu(1 - window)

    def to(self, device: torch.device) -> Block:
        """Returns the block with its tensors on a device."""
        if self.query_positions is None or self.key_positions is None:
            return self
        queries = self.query_positions.to(device, non_blocking=True)
        keys = self.key_positions.to(device, non_blocking=True)
        return replace(self, query_positions=queries, key_positions=keys)


class KeptKeys(dict[torch.nn.Module, tuple[Tensor, Tensor]]):
    """The keys and values of a row by attention layer, without gradient [1, heads, T, size]."""


@dataclass(frozen=True)
class AttentionLayout:
    """The places of a packed row's tokens in blocks.

    P is the number of places of queries, and Q the number of places of keys, in all blocks.

    Attributes:
        blocks: The blocks: whole sequences, then branches, each beginning with the longest.
        gather: The token at each place of queries; after the end of a segment, its last one [P].
        scatter: The place of each token [T].
        gather_keys: The key at each place of keys, among all keys [Q]; None if it is `gather`.
        lengths: The segments, as the kernel for sequences of different lengths wants them.
        base: Keys and values of the row that was computed before; None if there is none.
        kept: Receives the keys and values of the row; None if they are not needed.
        masks: Receives the mask of each block and window, which is the same for all layers.
        heads: Receives the shapes of the model's attention layers.
    """

    blocks: tuple[Block, ...]
    gather: Tensor
    scatter: Tensor
    gather_keys: Tensor | None
    lengths: Lengths
    base: KeptKeys | None = None
    kept: KeptKeys | None = None
    masks: dict[tuple[int, int | None], Tensor | None] = field(default_factory=dict, compare=False)
    heads: set[Heads] = field(default_factory=set, compare=False)

    @classmethod
    def of(cls, segments: Sequence[Segment], *, base_tokens: int = 0) -> AttentionLayout:
        """Returns the layout of segments, which are in the order of the row without gaps.

        Args:
            segments: The segments.
            base_tokens: Number of tokens of the row that is computed before.
        """
        starts = torch.tensor([segment.start for segment in segments])
        sizes = torch.tensor([segment.length for segment in segments])
        scatter = torch.empty(int(sizes.sum()), dtype=torch.int64)
        blocks: list[Block] = []
        gathers: list[Tensor] = []
        key_gathers: list[Tensor] = []
        offset = 0
        for members in _groups(segments):
            longest = max(segments[i].length for i in members)
            places = torch.arange(longest)
            last = sizes[members, None] - 1
            gather = (starts[members, None] + torch.minimum(places, last)).flatten()
            real = (places <= last).flatten().nonzero()[:, 0]
            scatter[gather[real]] = offset + real
            gathers.append(gather)
            offset += len(gather)
            if segments[members[0]].prefix:
                block, keys = _branches([segments[i] for i in members], longest, base_tokens)
                blocks.append(block)
                key_gathers.append(keys)
            else:
                blocks.append(Block(len(members), longest, longest))
                key_gathers.append(gather + base_tokens)
        branched = any(block.key_positions is not None for block in blocks) or base_tokens > 0
        keys_of_all = torch.cat(key_gathers) if branched else None
        lengths = Lengths.of(segments, base_tokens=base_tokens)
        return cls(tuple(blocks), torch.cat(gathers), scatter, keys_of_all, lengths)

    def to(self, device: torch.device) -> AttentionLayout:
        """Returns the layout with its tensors on a device."""
        moved: dict[str, Any] = {
            name: value.to(device, non_blocking=True)
            for name, value in vars(self).items()
            if isinstance(value, Tensor)
        }
        blocks = tuple(block.to(device) for block in self.blocks)
        return replace(self, **moved, blocks=blocks, lengths=self.lengths.to(device), masks={})

    def split_queries(self, tokens: Tensor) -> list[Tensor]:
        """Returns queries as one tensor [G, heads, L, size] per block.

        Args:
            tokens: Queries of the row [1, heads, T, size].
        """
        rows = tokens[0].transpose(0, 1)
        places: Tensor = _ToPlaces.apply(rows, self.gather, self.scatter)  # type: ignore[no-untyped-call]
        return self._parts(places, [block.length for block in self.blocks])

    def split_keys(self, tokens: Tensor, base: Tensor | None) -> list[Tensor]:
        """Returns keys or values as one tensor [G, heads, K, size] per block.

        Args:
            tokens: Keys or values of the row [1, heads, T, size].
            base: Keys or values of the row that was computed before [1, heads, S, size], if any.
        """
        if self.gather_keys is None:
            return self.split_queries(tokens)
        # A key of a shared prompt has several places, so the gradient is their sum.
        places = _all_tokens(base, tokens).index_select(0, self.gather_keys)
        return self._parts(places, [block.keys for block in self.blocks])

    def _parts(self, places: Tensor, lengths: Sequence[int]) -> list[Tensor]:
        sizes = [block.size * length for block, length in zip(self.blocks, lengths, strict=True)]
        return [
            part.view(block.size, length, *part.shape[1:]).transpose(1, 2)
            for part, block, length in zip(
                torch.split(places, sizes), self.blocks, lengths, strict=True
            )
        ]

    def join(self, parts: Sequence[Tensor]) -> Tensor:
        """Returns tensors [G, heads, L, size], one per block, as one tensor [1, T, heads, size]."""
        places = torch.cat([part.transpose(1, 2).flatten(0, 1) for part in parts])
        tokens: Tensor = _ToTokens.apply(places, self.gather, self.scatter)  # type: ignore[no-untyped-call]
        return tokens[None]

    def mask(self, number: int, window: int | None, device: torch.device) -> Tensor | None:
        """Returns the mask of a block; see `Block.mask`. It is the same for all layers."""
        place = (number, window)
        if place not in self.masks:
            self.masks[place] = self.blocks[number].mask(window, device)
        return self.masks[place]


def _branches(segments: Sequence[Segment], longest: int, base_tokens: int) -> tuple[Block, Tensor]:
    """Returns a block of branches, and the key at each of its places of keys [G * K]."""
    keys = max(segment.prefix + segment.length for segment in segments)
    places = torch.arange(keys)
    gathers, positions = [], []
    for segment in segments:
        total = segment.prefix + segment.length
        own = base_tokens + segment.start - segment.prefix + places
        gather = torch.where(places < segment.prefix, segment.prefix_start + places, own)
        gathers.append(gather.where(places < total, gather[total - 1]))
        positions.append(places.where(places < total, UNSEEN))
    prefixes = torch.tensor([segment.prefix for segment in segments])
    last = torch.tensor([segment.length - 1 for segment in segments])
    # Padding repeats the last query, so that it sees some key in every window.
    queries = torch.minimum(torch.arange(longest), last[:, None])
    block = Block(
        len(segments),
        longest,
        keys,
        query_positions=prefixes[:, None] + queries,
        key_positions=torch.stack(positions),
    )
    return block, torch.cat(gathers)


def _groups(segments: Sequence[Segment]) -> list[list[int]]:
    """Returns segments grouped by kind and by number of keys, the longest first."""
    groups: list[list[int]] = []
    for branch in (False, True):
        members = [i for i, segment in enumerate(segments) if bool(segment.prefix) == branch]
        keys = {i: segments[i].prefix + segments[i].length for i in members}
        longest = 0
        for i in sorted(members, key=lambda i: (-keys[i], i)):
            if longest and (longest <= SHORT or keys[i] >= FILLED * longest):
                groups[-1].append(i)
            else:
                groups.append([i])
                longest = keys[i]
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
    if packed.kept is not None:
        packed.kept[module] = (key.detach(), value.detach())
    base_key, base_value = (None, None) if packed.base is None else packed.base[module]
    heads = Heads(query.shape[1], key.shape[1], query.shape[-1])
    packed.heads.add(heads)
    if variable_length.usable(
        heads,
        device=query.device,
        dtype=variable_length.computed_in(query),
        plain=softcap is None and s_aux is None and not dropout,
    ):
        output = variable_length.attend(
            query[0].transpose(0, 1),
            _all_tokens(base_key, key),
            _all_tokens(base_value, value),
            packed.lengths,
            scale=scale,
            window=sliding_window,
        )
        return output[None], None
    parts = zip(
        packed.split_queries(query),
        packed.split_keys(key, base_key),
        packed.split_keys(value, base_value),
        strict=True,
    )
    outputs = []
    for number, (q, k, v) in enumerate(parts):
        k, v = _per_head(k, groups), _per_head(v, groups)
        mask = packed.mask(number, sliding_window, q.device)
        if softcap is None and s_aux is None:
            outputs.append(_fused(q, k, v, mask, scale, dropout))
        else:
            outputs.append(_explicit(q, k, v, mask, scale, dropout, softcap, s_aux))
    return packed.join(outputs), None


def _all_tokens(base: Tensor | None, own: Tensor) -> Tensor:
    """Returns keys or values of the base row, if any, and of the row [K, key heads, size]."""
    rows = own[0].transpose(0, 1)
    return rows if base is None else torch.cat([base[0].transpose(0, 1), rows])


def _per_head(tensor: Tensor, groups: int) -> Tensor:
    return tensor if groups == 1 else tensor.repeat_interleave(groups, dim=1)


def _fused(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, scale: float, dropout: float
) -> Tensor:
    return F.scaled_dot_product_attention(
        q, k, v, attn_mask=mask, dropout_p=dropout, is_causal=mask is None, scale=scale
    )


def _explicit(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    mask: Tensor | None,
    scale: float,
    dropout: float,
    softcap: float | None,
    sinks: Tensor | None,
) -> Tensor:
    """Returns attention with explicit scores, for cases that the fused kernels do not support."""
    scores = (q @ k.transpose(2, 3)) * scale
    if softcap is not None:
        scores = softcap * torch.tanh(scores / softcap)
    seen = torch.ones_like(scores[0, 0], dtype=torch.bool).tril() if mask is None else mask
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
