"""The memory that this process has used at most, and the errors that say that there is no more."""

from __future__ import annotations

import resource
from functools import cache

import torch

_SIGNS = ("DefaultCPUAllocator: can't allocate memory", "CUBLAS_STATUS_ALLOC_FAILED")
"""Texts in errors of torch that have no class of their own."""


def peak_bytes(device: torch.device) -> int:
    """Returns the largest number of bytes in use so far: of the GPU, or else of the host.

    The allocator counts them on the host, so nothing waits for the device.
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


@cache
def device_bytes(device: torch.device) -> int:
    """Returns the number of bytes that a GPU has."""
    return int(torch.cuda.get_device_properties(device).total_memory)


def memory_fact(device: torch.device) -> dict[str, str]:
    """Returns the peak of memory by its label, in GB (1e9 bytes)."""
    peak = peak_bytes(device) / 1e9
    if device.type == "cuda":
        return {"peak GPU memory": f"{peak:.1f} of {device_bytes(device) / 1e9:.1f} GB"}
    return {"peak memory": f"{peak:.1f} GB"}


def is_out_of_memory(error: BaseException) -> bool:
    """Returns whether an error says that memory ran out.

    >>> is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory")), is_out_of_memory(KeyError())
    (True, False)
    """
    if isinstance(error, torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error) for sign in _SIGNS)
