"""Tensors of which each process holds some rows, as torch's `DTensor`, and how to look at them.

Functions that say so exchange something: every process must call them, in the same order. All of
them take plain tensors too, and then exchange nothing.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from torch.distributed.device_mesh import DeviceMesh


def is_sharded(tensor: Tensor) -> bool:
    """Returns whether a tensor is spread over the processes."""
    from torch.distributed.tensor import DTensor

    return isinstance(tensor, DTensor)


def local(tensor: Tensor) -> Tensor:
    """Returns the part of a tensor that this process holds, which shares its memory.

    It is the whole tensor if this is not sharded, and may have no rows if it is.
    """
    from torch.distributed.tensor import DTensor

    tensor = tensor.detach()
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def whole(tensor: Tensor) -> Tensor:
    """Returns all rows of a tensor, without a gradient. The processes exchange their rows.

    The result is a tensor of its own only if the tensor is sharded.
    """
    from torch.distributed.tensor import DTensor

    tensor = tensor.detach()
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def sharded(own: Tensor, shape: torch.Size) -> Tensor:
    """Returns this process's rows as a tensor that is sharded over all processes.

    Args:
        own: The rows from `rows_of`.
        shape: The shape of the whole tensor.
    """
    from torch.distributed.tensor import DTensor, Shard

    stride = torch.empty(shape, device="meta").stride()
    return DTensor.from_local(own, mesh(), [Shard(0)], run_check=False, shape=shape, stride=stride)


def rows_of(shape: torch.Size) -> tuple[int, torch.Size]:
    """Returns the first row of this process in a tensor of a shape, and the shape of its rows.

    The rows are divided as torch's `fully_shard` divides them: the last processes may have fewer,
    or none.
    """
    ranks, rank = torch.distributed.get_world_size(), torch.distributed.get_rank()
    each = -(-shape[0] // ranks)
    first = min(rank * each, shape[0])
    return first, torch.Size([min(each, shape[0] - first), *shape[1:]])


def mesh() -> DeviceMesh:
    """Returns all processes as torch's mesh of one axis."""
    # A training may end its process group, and another one begin a new group.
    return _mesh_of(torch.distributed.group.WORLD)


@cache
def _mesh_of(group: object) -> DeviceMesh:
    from torch.distributed.device_mesh import init_device_mesh

    device = "cuda" if torch.distributed.get_backend() == "nccl" else "cpu"
    return init_device_mesh(device, (torch.distributed.get_world_size(),))


@torch.no_grad()
def fill(tensor: Tensor, values: Tensor) -> None:
    """Writes whole values into a tensor. Each process takes its own rows, without an exchange.

    Args:
        tensor: A tensor, which may be sharded over all processes.
        values: All its rows, of any dtype, on any device.
    """
    own = local(tensor)
    first = rows_of(tensor.shape)[0] if is_sharded(tensor) else 0
    own.copy_(values[first : first + len(own)] if own.ndim else values)


def sum_over(tensor: Tensor, values: Tensor) -> Tensor:
    """Returns the sum of values over the processes that share a tensor. They exchange them."""
    if is_sharded(tensor):
        group = tensor.device_mesh.get_group()  # type: ignore[attr-defined]
        torch.distributed.all_reduce(values, group=group)
    return values


def most_over(tensor: Tensor, values: Tensor) -> Tensor:
    """Returns the largest values over the processes that share a tensor. They exchange them."""
    if is_sharded(tensor):
        group = tensor.device_mesh.get_group()  # type: ignore[attr-defined]
        torch.distributed.all_reduce(values, torch.distributed.ReduceOp.MAX, group=group)
    return values


def alike(one: Tensor, other: Tensor) -> bool:
    """Returns whether two tensors, sharded alike, are equal. The processes exchange what they find.

    All of them return the same.
    """
    differ = torch.tensor(float(not torch.equal(local(one), local(other))), device=one.device)
    return not most_over(one, differ).item()
