"""Attention of a packed row through torch's kernel for sequences of different lengths, on CUDA.

The kernel (`torch.nn.attention.varlen`) takes all sequences one after another, so nothing is
padded and nothing is masked. It is used only if it gave the same numbers as plain attention on this
device; see `try_kernel`. Otherwise, and for dropout, soft caps and sinks, `attention.py` computes
blocks.
"""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

KERNEL = "varlen_attn"
"""Name of the kernel in torch."""

DTYPES = (torch.bfloat16, torch.float16)
"""Data types that the kernel computes in."""

LARGEST_HEAD = 256
"""Largest head size of the kernel. Head sizes are multiples of 8."""

OLDEST_GPU = (8, 0)
"""Least compute capability of a GPU that has the kernel (Ampere)."""

TOLERANCE = 0.03
"""Largest difference of the kernel from plain attention that counts as rounding, relative to the
largest value. Both compute in 16 bits, where a value is off by up to 0.004."""


class Heads(NamedTuple):
    """The shapes of an attention layer.

    Attributes:
        queries: Number of query heads.
        keys: Number of key and value heads; `queries` is a multiple of it.
        size: Number of values of each head.
    """

    queries: int
    keys: int
    size: int


@dataclass(frozen=True)
class Lengths:
    """The sequences of a row, as the kernel wants them.

    Attributes:
        query_ends: Number of queries before each segment, and of all [segments + 1], int32.
        key_ends: Number of keys before each segment, and of all [segments + 1], int32.
        longest_query: Most queries of a segment.
        longest_key: Most keys of a segment: its own tokens and those of its prompt.
        keys: The keys of all segments, one after another, as places among all keys: those of the
            base row, if any, and then the row's; None if they are the row's own, in order.
    """

    query_ends: Tensor
    key_ends: Tensor
    longest_query: int
    longest_key: int
    keys: Tensor | None

    @classmethod
    def of(cls, segments: Sequence[tuple[int, int, int, int]], *, base_tokens: int = 0) -> Lengths:
        """Returns the lengths of a row.

        Args:
            segments: Start, length, prefix start and prefix of each; see `attention.Segment`.
            base_tokens: Number of tokens of the row that is computed before.
        """
        queries = torch.tensor([length for _, length, _, _ in segments])
        prefixes = torch.tensor([prefix for *_, prefix in segments])
        keys = None
        if base_tokens or bool(prefixes.any()):
            places: list[Tensor] = []
            for start, length, prefix_start, prefix in segments:
                places.append(torch.arange(prefix_start, prefix_start + prefix))
                places.append(torch.arange(base_tokens + start, base_tokens + start + length))
            keys = torch.cat(places)
        totals = queries + prefixes
        return cls(_ends(queries), _ends(totals), int(queries.max()), int(totals.max()), keys)

    def to(self, device: torch.device) -> Lengths:
        """Returns the lengths with their tensors on a device."""
        moved: dict[str, Any] = {
            name: value.to(device, non_blocking=True)
            for name, value in vars(self).items()
            if isinstance(value, Tensor)
        }
        return replace(self, **moved)


def _ends(lengths: Tensor) -> Tensor:
    ends = torch.zeros(len(lengths) + 1, dtype=torch.int32)
    ends[1:] = lengths.cumsum(0)
    return ends


def usable(heads: Heads, *, device: torch.device, dtype: torch.dtype, plain: bool) -> bool:
    """Returns whether the kernel computes a layer.

    Args:
        heads: The shapes of the layer.
        device: The device.
        dtype: The dtype that attention is computed in; see `computed_in`.
        plain: Whether the layer has no dropout, no soft cap and no sinks.
    """
    return plain and _TRIED.get((_place(device), dtype, heads), False)


def computed_in(query: Tensor) -> torch.dtype:
    """Returns the dtype of attention: that of autocast, if it is on, else that of the query."""
    kind = query.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else query.dtype


def attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    lengths: Lengths,
    *,
    scale: float,
    window: int | None,
) -> Tensor:
    """Returns the attention output of a row [T, heads, size].

    Args:
        query: [T, heads, size].
        key: All keys: those of the base row, if any, and then the row's [K, key heads, size].
        value: All values [K, key heads, size].
        lengths: The sequences.
        scale: Factor of the scores.
        window: Number of tokens that a token sees, including itself; None for all.
    """
    dtype = computed_in(query)
    if lengths.keys is not None:
        # A key of a shared prompt has several places, so its gradient is their sum.
        key, value = key.index_select(0, lengths.keys), value.index_select(0, lengths.keys)
    kernel = _kernel()
    assert kernel is not None
    groups: dict[str, bool] = {}
    if query.shape[1] != key.shape[1]:
        if _takes_groups(kernel):
            groups["enable_gqa"] = True
        else:
            repeats = query.shape[1] // key.shape[1]
            key, value = (each.repeat_interleave(repeats, dim=1) for each in (key, value))
    output: Tensor = kernel(
        query.to(dtype).contiguous(),
        key.to(dtype).contiguous(),
        value.to(dtype).contiguous(),
        lengths.query_ends,
        lengths.key_ends,
        lengths.longest_query,
        lengths.longest_key,
        scale=scale,
        # The last query of a segment stands at its last key, so these count from there.
        window_size=(-1 if window is None else window - 1, 0),
        **groups,
    )
    return output


def try_kernel(heads: Heads, *, device: torch.device, dtype: torch.dtype) -> bool:
    """Compares the kernel with plain attention, values and gradients, once per kind of layer.

    Args:
        heads: The shapes of a layer.
        device: The device.
        dtype: The dtype that attention is computed in.

    Returns:
        Whether the kernel exists for such a layer and agrees, so that `usable` is true.
    """
    name = (_place(device), dtype, heads)
    if name not in _TRIED:
        _TRIED[name] = _exists(heads, device, dtype) and _agrees(heads, device, dtype)
    return _TRIED[name]


def _place(device: torch.device) -> str:
    """Returns the name of a device. "cuda" alone means the GPU that is in use, such as "cuda:0"."""
    if device.type == "cuda" and device.index is None:
        return f"cuda:{torch.cuda.current_device()}"
    return str(device)


_TRIED: dict[tuple[str, torch.dtype, Heads], bool] = {}


@functools.cache
def _kernel() -> Callable[..., Any] | None:
    """Returns torch's kernel; None if this version of torch has none, or an older form of it."""
    try:
        from torch.nn.attention.varlen import varlen_attn
    except ImportError:
        return None
    wanted = {"scale", "window_size"}
    return varlen_attn if wanted <= set(inspect.signature(varlen_attn).parameters) else None


@functools.cache
def _takes_groups(kernel: Callable[..., Any]) -> bool:
    """Returns whether a kernel reads several query heads against one key head by itself."""
    return "enable_gqa" in inspect.signature(kernel).parameters


def _exists(heads: Heads, device: torch.device, dtype: torch.dtype) -> bool:
    return (
        _kernel() is not None
        and dtype in DTYPES
        and heads.size % 8 == 0
        and heads.size <= LARGEST_HEAD
        and heads.queries % heads.keys == 0
        and device.type == "cuda"
        and torch.version.hip is None
        and torch.cuda.get_device_capability(device) >= OLDEST_GPU
    )


def _agrees(heads: Heads, device: torch.device, dtype: torch.dtype) -> bool:
    """Returns whether the kernel gives the numbers of plain attention on a row of all kinds."""
    # Two whole sequences, a branch of the first one, and a branch of a row that came before.
    segments = [(0, 70, 0, 0), (70, 33, 0, 0), (103, 9, 40, 50), (112, 5, 3, 21)]
    tokens, base = 117, 40
    lengths = Lengths.of(segments, base_tokens=base).to(device)
    generator = torch.Generator().manual_seed(0)

    def draw(count: int, number: int) -> Tensor:
        made = torch.randn(count, number, heads.size, generator=generator)
        return made.to(device=device, dtype=dtype).requires_grad_()

    query = draw(tokens, heads.queries)
    key, value = draw(base + tokens, heads.keys), draw(base + tokens, heads.keys)
    weight = draw(tokens, heads.queries).detach()
    inputs, scale = (query, key, value), 1 / math.sqrt(heads.size)
    with torch.enable_grad(), torch.autocast(device.type, enabled=False):
        for window in (None, 7):
            try:
                found = attend(query, key, value, lengths, scale=scale, window=window)
                found_grads = torch.autograd.grad(found, inputs, weight)
            except RuntimeError:
                return False
            expected = _plainly(query, key, value, lengths, scale=scale, window=window)
            grads = torch.autograd.grad(expected, inputs, weight.float())
            pairs = zip((found, *found_grads), (expected, *grads), strict=True)
            if not all(_close(one, other) for one, other in pairs):
                return False
    return True


def _close(found: Tensor, expected: Tensor) -> bool:
    difference = (found.float() - expected.float()).abs().max()
    return bool(difference <= TOLERANCE * expected.float().abs().max())


def _plainly(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    lengths: Lengths,
    *,
    scale: float,
    window: int | None,
) -> Tensor:
    """Returns the same as `attend` in float32, one sequence after another."""
    assert lengths.keys is not None
    groups = query.shape[1] // key.shape[1]
    keys = key.float()[lengths.keys].repeat_interleave(groups, dim=1)
    values = value.float()[lengths.keys].repeat_interleave(groups, dim=1)
    outputs = []
    query_ends, key_ends = lengths.query_ends.tolist(), lengths.key_ends.tolist()
    for i in range(len(query_ends) - 1):
        q = query.float()[query_ends[i] : query_ends[i + 1]].transpose(0, 1)
        k = keys[key_ends[i] : key_ends[i + 1]].transpose(0, 1)
        v = values[key_ends[i] : key_ends[i + 1]].transpose(0, 1)
        places = torch.arange(k.shape[1], device=q.device)
        behind = places[k.shape[1] - q.shape[1] :, None] - places[None]
        seen = behind >= 0 if window is None else (behind >= 0) & (behind < window)
        scores = (q @ k.transpose(1, 2) * scale).masked_fill(~seen, -math.inf)
        outputs.append((scores.softmax(dim=-1) @ v).transpose(0, 1))
    return torch.cat(outputs)
