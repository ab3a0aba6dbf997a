"""Keys and values of completions that are being written, and attention to them.

Rows whose prompts have similar lengths form a block. In a block, all prompts end at the same place,
and all rows have written the same number of tokens. So the next token of each has the same place,
and only a prompt that is shorter than the longest one needs a mask.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from halo_trainer.batch.attention import AttentionLayout, KeptKeys, packed_attention

NAME = "halo_decoding"
"""The name of this attention in transformers."""

ROOM = 32
"""Number of new tokens that a block has room for at first. It doubles when it is full."""


class RowBlock:
    """Completions that were begun together, after prompts of similar length.

    Args:
        rows: The completions, by number, longest prompt first [R].
        lengths: Length of each one's prompt [R].
        kept: Keys and values of the packed prompts. They stay there.
        starts: Position of each one's prompt among the packed prompts [R].
        most: Largest number of tokens of a completion.
        device: Device of the model.

    Attributes:
        rows: The completions, by number.
        positions: Position of the current token of each in its sequence [R]. At first this is the
            last one of the prompt.
    """

    def __init__(
        self,
        rows: Sequence[int],
        lengths: Sequence[int],
        kept: KeptKeys,
        starts: Sequence[int],
        most: int,
        device: torch.device,
    ) -> None:
        self.rows = list(rows)
        self._most = most
        self._width = max(lengths)
        self._capacity = self._width + min(ROOM, most)
        self._end = self._width - 1
        self._is_ragged = min(lengths) < self._width
        sizes = torch.tensor(lengths, device=device)
        # A place before the prompt has the prompt's first key, which the mask hides.
        places = (torch.arange(self._width, device=device) + sizes[:, None] - self._width).clamp(0)
        index = (torch.tensor(starts, device=device)[:, None] + places).flatten()
        self.positions = sizes - 1
        self._keys = {
            module: (self._taken(keys, index), self._taken(values, index))
            for module, (keys, values) in kept.items()
        }
        self._masks: dict[int, Tensor] = {}

    def _taken(self, packed: Tensor, index: Tensor) -> Tensor:
        """Returns keys or values [R, heads, capacity, size] from those of prompts [1, heads, T, s].

        Places of new tokens are not initialised.
        """
        _, heads, _, size = packed.shape
        count = len(self.rows)
        taken = packed.new_empty(count, heads, self._capacity, size)
        found = packed[0].index_select(1, index).view(heads, count, self._width, size)
        taken[:, :, : self._width] = found.transpose(0, 1)
        return taken

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def tokens(self) -> int:
        """Number of places that the block will take at most."""
        return len(self.rows) * (self._width + self._most)

    def advance(self) -> None:
        """Makes the next token of each row the current one."""
        self._end += 1
        self.positions = self.positions + 1
        self._masks.clear()
        if self._end >= self._capacity:
            self._capacity += min(
                self._capacity - self._width, self._width + self._most - self._end
            )
            for module, (keys, values) in self._keys.items():
                self._keys[module] = _grown(keys, self._capacity), _grown(values, self._capacity)

    def keep(self, places: Sequence[int]) -> None:
        """Keeps only some of the rows.

        Args:
            places: Place of each kept completion among the rows, in order.
        """
        index = torch.tensor(places, dtype=torch.long, device=self.positions.device)
        self.rows = [self.rows[place] for place in places]
        self.positions = self.positions[index]
        for module, (keys, values) in self._keys.items():
            self._keys[module] = keys.index_select(0, index), values.index_select(0, index)

    def attend(
        self, module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention: Attention
    ) -> Tensor:
        """Returns the attention output of the current tokens [R, heads, size].

        Args:
            module: The attention layer.
            query: [R, heads, size].
            key: [R, key heads, size].
            value: [R, key heads, size].
            attention: The kind of attention of the layer.
        """
        keys, values = self._keys[module]
        keys[:, :, self._end] = key
        values[:, :, self._end] = value
        window = attention.window
        first = 0 if window is None else max(0, self._end + 1 - window)
        seen = slice(first, self._end + 1)
        # Heads that share a key are like several queries, so no key is copied.
        grouped = query.view(*key.shape[:2], -1, query.shape[-1])
        found = attention.of(grouped, keys[:, :, seen], values[:, :, seen], self._mask(seen))
        return found.reshape(*query.shape[:2], found.shape[-1])

    def _mask(self, seen: slice) -> Tensor | None:
        """Returns which keys each row sees [R, 1, 1, keys] bool; None for all."""
        if not self._is_ragged:
            return None
        if seen.start not in self._masks:
            hidden = self._end - self.positions
            places = torch.arange(seen.start, seen.stop, device=hidden.device)
            self._masks[seen.start] = (places >= hidden[:, None])[:, None, None]
        return self._masks[seen.start]


class Attention:
    """The kind of attention of a layer.

    Args:
        scale: Factor of the scores.
        window: Number of tokens that a token sees, including itself; None for all.
        softcap: Bound of the scores: softcap * tanh(score / softcap); None for no bound.
        sinks: One learned score per head that takes its share [heads]; None for none.
    """

    def __init__(
        self, scale: float, window: int | None, softcap: float | None, sinks: Tensor | None
    ) -> None:
        self.window = window
        self._scale = scale
        self._softcap = softcap
        self._sinks = sinks

    def of(self, query: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None) -> Tensor:
        """Returns the values that queries find [R, key heads, group, size].

        Args:
            query: Queries of the next tokens [R, key heads, group, size].
            keys: Keys of their completions [R, key heads, K, size].
            values: Values of their completions [R, key heads, K, size].
            mask: Whether each key is seen [R, 1, 1, K]; None if all are.
        """
        if self._softcap is None and self._sinks is None:
            return F.scaled_dot_product_attention(
                query, keys, values, attn_mask=mask, scale=self._scale
            )
        scores = (query @ keys.transpose(2, 3)) * self._scale
        if self._softcap is not None:
            scores = self._softcap * torch.tanh(scores / self._softcap)
        scores = scores.float()
        if mask is not None:
            scores = scores.masked_fill(~mask, -math.inf)
        if self._sinks is not None:
            sinks = self._sinks.float().view(1, *query.shape[1:3], 1)
            scores = torch.cat([scores, sinks.expand(*scores.shape[:3], 1)], dim=-1)
        weights = scores.softmax(dim=-1)[..., : keys.shape[2]]
        return weights.to(values.dtype) @ values


class Decoding:
    """The current tokens of all blocks, one row after another.

    Args:
        blocks: The blocks, in the order of their tokens.
    """

    def __init__(self, blocks: Sequence[RowBlock]) -> None:
        self._blocks = blocks
        self._sizes = [len(block) for block in blocks]

    def attend(
        self, module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention: Attention
    ) -> Tensor:
        """Returns the attention output of all current tokens [1, T, heads, size].

        Args:
            module: The attention layer.
            query: [1, heads, T, size].
            key: [1, key heads, T, size].
            value: [1, key heads, T, size].
            attention: The kind of attention of the layer.
        """
        parts = (torch.split(x[0].transpose(0, 1), self._sizes) for x in (query, key, value))
        found = [
            block.attend(module, q, k, v, attention)
            for block, q, k, v in zip(self._blocks, *parts, strict=True)
        ]
        return torch.cat(found)[None]


def decoding_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    packed: AttentionLayout | Decoding,
    scaling: float | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    s_aux: Tensor | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    """Returns the attention output of packed prompts or of the next tokens, and no weights.

    The arguments and results are those of `packed_attention`, except for `packed`, which may also
    be the tokens that come next.
    """
    if isinstance(packed, AttentionLayout):
        return packed_attention(
            module,
            query,
            key,
            value,
            attention_mask,
            packed=packed,
            scaling=scaling,
            sliding_window=sliding_window,
            softcap=softcap,
            s_aux=s_aux,
        )
    scale = scaling if scaling is not None else 1 / math.sqrt(query.shape[-1])
    attention = Attention(scale, sliding_window, softcap, s_aux)
    return packed.attend(module, query, key, value, attention), None


def use_decoding_attention(model: Any) -> bool:
    """Returns whether a model accepted this attention."""
    from transformers import AttentionInterface

    AttentionInterface.register(NAME, decoding_attention)
    try:
        model.set_attn_implementation(NAME)
    except (ValueError, ImportError, NotImplementedError):
        return False
    return bool(model.config._attn_implementation == NAME)


def _grown(tensor: Tensor, places: int) -> Tensor:
    grown = tensor.new_empty(*tensor.shape[:2], places, tensor.shape[3])
    grown[:, :, : tensor.shape[2]] = tensor
    return grown
