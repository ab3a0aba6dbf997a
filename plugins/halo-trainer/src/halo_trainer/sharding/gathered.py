"""Holds whole weights in a part of a model for a moment."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from halo_models.shards import whole


@contextmanager
def gathered(*modules: nn.Module, dtype: torch.dtype | None = None) -> Iterator[None]:
    """Puts whole copies into the places of sharded weights. Afterwards the shards are back.

    All processes must enter it, because they exchange the weights. Changes of the copies are lost,
    except whether they are trained.

    Args:
        modules: Parts of a model, with everything inside of them.
        dtype: Dtype of the copies; None for that of the weights.
    """
    kept: list[tuple[nn.Module, str, nn.Parameter]] = []
    copies: dict[int, nn.Parameter] = {}
    for part in {id(each): each for module in modules for each in module.modules()}.values():
        for name, old in part._parameters.items():
            if old is None:
                continue
            if id(old) not in copies:
                values = whole(old).to(dtype or old.dtype, copy=True)
                copies[id(old)] = nn.Parameter(values, old.requires_grad)
            kept.append((part, name, old))
    try:
        for part, name, old in kept:
            part._parameters[name] = copies[id(old)]
        yield
    finally:
        for part, name, old in kept:
            old.requires_grad_(copies[id(old)].requires_grad)
            part._parameters[name] = old
