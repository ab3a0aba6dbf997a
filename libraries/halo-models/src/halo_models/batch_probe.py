"""Shared parts of the probes of padded batches: token ids, temporary float32, and tolerances.

A probe computes random sequences of different lengths together and one at a time. It does not use
torch's random generators and leaves every weight unchanged, so later computations do not depend on
it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

T = TypeVar("T")

RELATIVE_TOLERANCE = 1e-4
"""Largest difference of a logit that counts as rounding, in float32, relative to the largest logit
plus 1."""

COARSE_TOLERANCE = 0.1
"""The same for the model's own precision, if there is not enough memory for float32."""

_CONTROL = ("token_id", "token_index", "token_ids")
"""Endings of configuration options that name tokens with a special meaning."""


def probe_ids(config: Any, lengths: Sequence[int], without: Sequence[int] = ()) -> list[list[int]]:
    """Returns random token ids of a model, one list per length. They are the same every time.

    Tokens that the configuration names are left out. For example, a token that represents an image
    would need an image.

    Args:
        config: The model's configuration.
        lengths: Number of ids in each list.
        without: Other ids to leave out.
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
    """Returns a measurement of a model in float32, and restores the model afterwards.

    If there is not enough memory, the measurement uses the model's own precision.

    Args:
        network: The model. Its weights are restored exactly.
        measure: Takes the relative difference that counts as rounding. It is called without
            gradient.
    """
    tensors = [t for t in (*network.parameters(), *network.buffers()) if t.is_floating_point()]
    reduced = [(t, t.dtype) for t in tensors if t.dtype in (torch.bfloat16, torch.float16)]
    # Otherwise a GPU computes convolutions in TensorFloat-32, which has the digits of float16.
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
        # Numbers that came from this dtype are rounded to themselves.
        tensor.data = tensor.data.to(dtype)


def difference(found: Tensor, expected: Tensor) -> float:
    """Returns the largest difference of two arrays, relative to the largest of the second plus 1.

    It is infinite if a number of either array is not finite and differs between the two.

    >>> round(difference(torch.tensor([1.0, 3.5]), torch.tensor([1.0, 3.0])), 3)
    0.125
    """
    if torch.equal(found, expected):
        return 0.0
    gap = ((found - expected).abs().max() / (1 + expected.abs().max())).item()
    return float(gap) if gap == gap else float("inf")
