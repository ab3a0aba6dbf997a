"""What probes of padded batches share: token ids, float32 for a while, and what is rounding.

A probe computes random sequences of unequal lengths together and one at a time. It draws nothing
from torch's generators and leaves every weight as it was, so what is computed afterwards does not
depend on it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

T = TypeVar("T")

RELATIVE_TOLERANCE = 1e-4
"""Largest difference of a logit that is rounding, in float32, relative to the largest logit plus
1."""

COARSE_TOLERANCE = 0.1
"""The same in the model's own precision, where the memory does not hold it in float32."""

_CONTROL = ("token_id", "token_index", "token_ids")
"""How options of configurations end that name tokens with a meaning of their own."""


def probe_ids(config: Any, lengths: Sequence[int], without: Sequence[int] = ()) -> list[list[int]]:
    """Returns random token ids of a model, the same ones every time, one list per length.

    Tokens that the configuration names are left out: one that stands for an image, say, would ask
    for one.

    Args:
        config: The model's configuration.
        lengths: How many ids each list has.
        without: More ids to leave out.
    """
    text = config.get_text_config()
    named = {**config.to_dict(), **text.to_dict()}
    taken = [value for name, value in named.items() if name.endswith(_CONTROL)]
    control = {*without} | {
        i for value in taken for i in (value if isinstance(value, list) else [value])
    }
    ordinary = [token for token in range(text.vocab_size) if token not in control] or [0]
    rng = np.random.Generator(np.random.PCG64(0))
    return [np.asarray(ordinary)[rng.integers(0, len(ordinary), n)].tolist() for n in lengths]


def in_float32(network: torch.nn.Module, measure: Callable[[float], T]) -> T:
    """Returns what is measured while a model is in float32; afterwards it is what it was.

    Where the memory does not suffice, it is measured in the model's own precision.

    Args:
        network: The model; its weights come back to the bit.
        measure: Is given the relative difference that is rounding, and is called without gradient.
    """
    tensors = [t for t in (*network.parameters(), *network.buffers()) if t.is_floating_point()]
    reduced = [(t, t.dtype) for t in tensors if t.dtype in (torch.bfloat16, torch.float16)]
    # Convolutions on a GPU are else computed in TensorFloat-32, which has the digits of float16.
    exact = torch.backends.cudnn.flags(enabled=True, allow_tf32=False)
    with torch.inference_mode(), exact:
        try:
            for tensor, _ in reduced:
                tensor.data = tensor.data.float()
            return measure(RELATIVE_TOLERANCE)
        except torch.OutOfMemoryError:
            if not reduced:
                raise
        finally:
            _restore(reduced)
        return measure(COARSE_TOLERANCE)


def _restore(tensors: Sequence[tuple[Tensor, torch.dtype]]) -> None:
    for tensor, dtype in tensors:
        # What float32 was made of is rounded to itself.
        tensor.data = tensor.data.to(dtype)


def difference(found: Tensor, expected: Tensor) -> float:
    """Returns the largest difference of two arrays, relative to the largest of the second plus 1.

    It is infinite where a number of either is not finite and not the same in both.

    >>> round(difference(torch.tensor([1.0, 3.5]), torch.tensor([1.0, 3.0])), 3)
    0.125
    """
    if torch.equal(found, expected):
        return 0.0
    gap = ((found - expected).abs().max() / (1 + expected.abs().max())).item()
    return float(gap) if gap == gap else float("inf")
