"""The piece of a tensor that a process holds, and its place in the whole tensor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor


@dataclass(frozen=True)
class Region:
    """A block of a tensor.

    Attributes:
        offset: Its first position on each axis.
        shape: Its size on each axis.
    """

    offset: tuple[int, ...]
    shape: tuple[int, ...]

    @property
    def numel(self) -> int:
        """Number of numbers in it."""
        return torch.Size(self.shape).numel()

    def common(self, other: Region) -> Region | None:
        """Returns the block that is in both; None if they have nothing in common.

        >>> Region((0, 0), (4, 2)).common(Region((3, 0), (4, 2)))
        Region(offset=(3, 0), shape=(1, 2))
        """
        offset = tuple(map(max, self.offset, other.offset))
        end = tuple(map(min, self._end, other._end))
        shape = tuple(e - o for e, o in zip(end, offset, strict=True))
        return None if any(size <= 0 for size in shape) else Region(offset, shape)

    def within(self, outer: Region) -> tuple[slice, ...]:
        """Returns where this block is in a block that contains it.

        >>> Region((3, 0), (1, 2)).within(Region((2, 0), (4, 2)))
        (slice(1, 2, None), slice(0, 2, None))
        """
        starts = [o - base for o, base in zip(self.offset, outer.offset, strict=True)]
        return tuple(slice(s, s + size) for s, size in zip(starts, self.shape, strict=True))

    @property
    def _end(self) -> tuple[int, ...]:
        return tuple(o + s for o, s in zip(self.offset, self.shape, strict=True))


def whole_region(shape: Sequence[int]) -> Region:
    """Returns all of a tensor of a shape."""
    return Region((0,) * len(shape), tuple(shape))


def region_of(tensor: Tensor) -> Region:
    """Returns the block of a tensor that this process holds, which may be empty."""
    if not isinstance(tensor, DTensor):
        return whole_region(tensor.shape)
    from torch.distributed.tensor._utils import compute_local_shape_and_global_offset

    shape, offset = compute_local_shape_and_global_offset(
        tensor.shape, tensor.device_mesh, tensor.placements
    )
    return Region(tuple(offset), tuple(shape))


def is_mine(tensor: Tensor, *, main: bool) -> bool:
    """Returns whether this process writes what it holds of a tensor, which others may hold too.

    Args:
        tensor: A tensor, sharded or not.
        main: Whether this is rank 0, which writes all that every process holds.
    """
    if not isinstance(tensor, DTensor):
        return main
    place = tensor.device_mesh.get_coordinate()
    if place is None or region_of(tensor).numel == 0:
        return False
    copies = [at for at, kind in zip(place, tensor.placements, strict=True) if kind.is_replicate()]
    return all(at == 0 for at in copies)


def are_sharded(tensors: Sequence[Tensor]) -> bool:
    """Returns whether some tensor is spread over several processes."""
    return any(isinstance(t, DTensor) and t.device_mesh.size() > 1 for t in tensors)


def laid_out_like(like: Tensor, values: Tensor) -> Tensor:
    """Returns this process's part of a tensor as a tensor that is sharded like another.

    Args:
        like: A tensor with the wanted shape and placement.
        values: The numbers that this process holds of it.
    """
    if not isinstance(like, DTensor):
        return values
    return DTensor.from_local(
        values,
        like.device_mesh,
        like.placements,
        run_check=False,
        shape=like.shape,
        stride=like.stride(),
    )
