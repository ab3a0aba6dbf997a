"""Spreads a scorer over the processes, with torch's `fully_shard` (FSDP2).

Each process holds some rows of every weight, in float32, with their gradient and optimiser state.
Before a transformer block is computed, its weights are gathered in the compute dtype, and released
afterwards; the same again in the backward pass. Gradients are summed in float32, and each process
keeps those of its rows. The embeddings and the output head, which may be the same weights, belong
to the scorer itself. They are there from the beginning of its forward pass to its end, and from the
beginning of its backward pass to its end. So the output head may be computed from its weights.

Outside of passes, every weight is a shard. Code that reads weights there must expect `DTensor`.

References:
    Zhao et al. (2023), PyTorch FSDP; https://docs.pytorch.org/docs/stable/distributed.fsdp.fully_shard.html
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard

from halo_trainer.model.scorer import Scorer


def shard(scorer: Scorer, *, device: torch.device) -> Scorer:
    """Spreads the weights of a scorer over all processes, in place, and returns it.

    Heads compute in float32, all other weights in the scorer's compute dtype.

    Args:
        scorer: A scorer with the same weights on each process. It must not be sharded yet.
        device: Device of this process.
    """
    mesh = init_device_mesh(device.type, (torch.distributed.get_world_size(),))
    # A NamedTuple of inputs is not rebuilt if they are not cast. The scorer casts what it must.
    exact = MixedPrecisionPolicy(reduce_dtype=torch.float32, cast_forward_inputs=False)
    reduced = MixedPrecisionPolicy(
        param_dtype=None if scorer.compute_dtype == torch.float32 else scorer.compute_dtype,
        reduce_dtype=torch.float32,
        cast_forward_inputs=False,
    )
    for block in blocks_of(scorer.model):
        fully_shard(block, mesh=mesh, mp_policy=reduced, reshard_after_forward=True)
    for head in scorer.heads.values():
        fully_shard(head, mesh=mesh, mp_policy=exact, reshard_after_forward=True)
    # The root too gives up its weights after the forward pass. Otherwise a pass without a gradient
    # would leave them there, and the next one would not see an update in between.
    fully_shard(scorer, mesh=mesh, mp_policy=reduced, reshard_after_forward=True)
    return scorer


def blocks_of(model: nn.Module) -> list[nn.Module]:
    """Returns the blocks of a model, which are gathered one at a time: its outermost module lists.

    >>> tower = nn.ModuleList([nn.Sequential(nn.ModuleList([nn.Linear(1, 1)])) for _ in range(2)])
    >>> len(blocks_of(nn.Sequential(nn.Linear(1, 1), tower)))
    2
    """
    blocks: list[nn.Module] = []
    for child in model.children():
        if isinstance(child, nn.ModuleList):
            blocks += [block for block in child if any(True for _ in block.parameters())]
        else:
            blocks += blocks_of(child)
    return blocks


def is_spread(module: nn.Module) -> bool:
    """Returns whether the weights of a module are spread over the processes by `shard`."""
    return isinstance(module, FSDPModule)


@contextmanager
def accumulating(module: nn.Module) -> Iterator[None]:
    """Keeps gradients of passes inside unexchanged, and adds them up for the next exchange.

    Each process then holds the gradient of all weights and not only of its rows, in float32, until
    a backward pass outside of this context. This saves an exchange per micro-batch, and costs
    4 bytes per trained weight of the whole model on every process, besides the shards.

    Args:
        module: A module from `shard`.
    """
    assert isinstance(module, FSDPModule)
    module.set_requires_gradient_sync(False)
    try:
        yield
    finally:
        module.set_requires_gradient_sync(True)
