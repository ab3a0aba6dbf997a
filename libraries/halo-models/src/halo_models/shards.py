"""Tensors of which each process holds some rows, as torch's `DTensor`, and how to look at them.

Functions that say so exchange something: every process must call them, in the same order. All of
them take plain tensors too, and then exchange nothing.
"""

from __future__ import annotations

import torch
from torch import Tensor


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


@torch.no_grad()
def fill(tensor: Tensor, values: Tensor) -> None:
    """Writes whole values into a tensor. Each process takes its own rows, without an exchange.

    Args:
        tensor: A tensor, which may be sharded by rows.
        values: All its rows, of any dtype, on any device.
    """
    own = local(tensor)
    if not is_sharded(tensor):
        own.copy_(values)
        return
    start = first_row(tensor)
    own.copy_(values[start : start + len(own)])


def first_row(tensor: Tensor) -> int:
    """Returns the position of this process's first row in a tensor that is sharded by rows."""
    from torch.distributed.tensor._utils import compute_local_shape_and_global_offset

    shape, mesh, placements = tensor.shape, tensor.device_mesh, tensor.placements  # type: ignore[attr-defined]
    _, offsets = compute_local_shape_and_global_offset(shape, mesh, placements)
    return int(offsets[0])


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
