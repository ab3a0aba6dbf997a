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
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard

from halo_core.errors import ModelError
from halo_models.shards import is_sharded, local, mesh, sharded
from halo_trainer.model.frozen import matrices
from halo_trainer.model.scorer import Scorer
from halo_trainer.sharding.choice import GATHERED_BLOCKS


def shard(scorer: Scorer, *, changes: bool = False) -> Scorer:
    """Spreads the weights of a scorer over all processes, in place, and returns it.

    Heads compute in float32, all other weights in the scorer's compute dtype. Frozen matrices are
    held in that dtype, which gives the same bits, because they are rounded to it anyway.

    Args:
        scorer: A scorer whose weights are sharded by `load_model_shards`, or whole and the same on
            each process.
        changes: Whether frozen weights will change, and keep their dtype for it.

    Raises:
        ModelError: When torch cannot spread a weight.
    """
    if scalars := [name for name, weight in scorer.named_parameters() if weight.ndim == 0]:
        raise ModelError(
            f"{scalars[0]!r} is a single number, which torch's FSDP2 cannot spread; set "
            "sharding: none"
        )
    shards = _taken_out(scorer)
    # A NamedTuple of inputs is not rebuilt if they are not cast. The scorer casts what it must.
    exact = MixedPrecisionPolicy(reduce_dtype=torch.float32, cast_forward_inputs=False)
    reduced = MixedPrecisionPolicy(
        param_dtype=None if scorer.compute_dtype == torch.float32 else scorer.compute_dtype,
        reduce_dtype=torch.float32,
        cast_forward_inputs=False,
    )
    for block in blocks_of(scorer.model):
        fully_shard(block, mesh=mesh(), mp_policy=reduced, reshard_after_forward=True)
    for head in scorer.heads.values():
        fully_shard(head, mesh=mesh(), mp_policy=exact, reshard_after_forward=True)
    # The root too gives up its weights after the forward pass. Otherwise a pass without a gradient
    # would leave them there, and the next one would not see an update in between.
    fully_shard(scorer, mesh=mesh(), mp_policy=reduced, reshard_after_forward=True)
    _put_back(shards)
    if not changes:
        _hold_frozen(scorer)
    return scorer


Place = tuple[nn.Module, str]


def _taken_out(scorer: nn.Module) -> list[tuple[Place, Tensor]]:
    """Returns the rows of each sharded weight and its place, where an empty whole one is now.

    `fully_shard` does not take weights that are sharded already.
    """
    found: list[tuple[Place, Tensor]] = []
    empty: dict[int, nn.Parameter] = {}
    for module in scorer.modules():
        for name, old in module._parameters.items():
            if old is None or not is_sharded(old):
                continue
            if id(old) not in empty:
                new = torch.empty(old.shape, dtype=old.dtype, device="meta")
                empty[id(old)] = nn.Parameter(new, old.requires_grad)
            found.append(((module, name), local(old)))
            module._parameters[name] = empty[id(old)]
    return found


def _put_back(shards: list[tuple[Place, Tensor]]) -> None:
    """Puts rows into the empty sharded weights that `fully_shard` made."""
    new: dict[int, nn.Parameter] = {}
    for (module, name), own in shards:
        old = module._parameters[name]
        assert old is not None
        if id(old) not in new:
            # Rows that were read from a file are still a view of it, and it might change.
            own = own.clone() if own.untyped_storage().nbytes() > own.nbytes else own
            new[id(old)] = nn.Parameter(sharded(own, old.shape), old.requires_grad)
        module._parameters[name] = new[id(old)]


def _hold_frozen(scorer: Scorer) -> None:
    """Holds the frozen matrices in the compute dtype, one after another."""
    frozen = {id(weight) for part in matrices(scorer) for weight in part.values()}
    for module in scorer.modules():
        for name, old in module._parameters.items():
            if old is not None and id(old) in frozen and old.dtype != scorer.compute_dtype:
                own = local(old).to(scorer.compute_dtype)
                module._parameters[name] = nn.Parameter(sharded(own, old.shape), False)


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


def gathered_bytes(scorer: Scorer) -> int:
    """Returns the most bytes of whole weights and gradients that a pass holds besides the shards.

    These are the weights outside of the blocks, those of some blocks (`GATHERED_BLOCKS`), and the
    gradients of one block with the float32 buffer in which they are exchanged. `halo plan` counts
    the same (`sizes.memory`).

    Args:
        scorer: A scorer, sharded or not.
    """
    each = scorer.compute_dtype.itemsize
    blocks = [list(block.parameters()) for block in blocks_of(scorer.model)]
    within = {id(weight) for block in blocks for weight in block}
    root = sum(weight.numel() for weight in scorer.parameters() if id(weight) not in within)
    largest = max((sum(w.numel() for w in block) for block in blocks), default=0)
    trained = (sum(w.numel() for w in block if w.requires_grad) for block in blocks)
    return each * (root + GATHERED_BLOCKS * largest) + (each + 4) * max(trained, default=0)


def is_spread(module: nn.Module) -> bool:
    """Returns whether the weights of a module are spread over the processes by `shard`."""
    return isinstance(module, FSDPModule)


def forget_passes(module: nn.Module) -> None:
    """Drops the record of the passes of a module that has no backward pass, if it is spread.

    torch notes each block of each pass, and clears its notes only in a backward pass.

    Args:
        module: A module whose passes have no gradient.
    """
    if isinstance(module, FSDPModule):
        module.reset_iter_state()


@contextmanager
def accumulating(module: nn.Module) -> Iterator[None]:
    """Keeps gradients of passes inside unexchanged, and adds them up for the next exchange.

    Each process then holds the gradient of all weights and not only of its rows, in float32, until
    a backward pass outside of this context. This saves an exchange per micro-batch, and costs
    4 bytes per trained weight of the whole model on every process, besides the shards. A model of
    30B weights needs 120 GB for it. See `sharding.choice.accumulates`.

    Args:
        module: A module from `shard`.
    """
    assert isinstance(module, FSDPModule)
    module.set_requires_gradient_sync(False)
    try:
        yield
    finally:
        module.set_requires_gradient_sync(True)
