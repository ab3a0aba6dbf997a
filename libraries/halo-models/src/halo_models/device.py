"""The device and the precision, if the options leave them open."""

from __future__ import annotations

from typing import Literal

import torch

from halo_core.errors import UserError
from halo_core.usable_cores import usable_cores

Precision = Literal["auto", "float32", "bfloat16"]

FEW, PER_CORE = 8, 4
"""Numbers of processes on a CPU that are never refused: in all, and for each core."""


def pick_device(option: Literal["auto", "cpu", "cuda"]) -> torch.device:
    """Returns the device that an option means. auto is a GPU if there is one.

    Raises:
        UserError: When the option asks for a GPU and torch sees none.
    """
    if option == "cuda" and not torch.cuda.is_available():
        raise UserError(
            "torch sees no GPU. Use device: cpu, or install a torch built for this machine's GPU",
            location="device",
        )
    return torch.device("cuda" if option != "cpu" and torch.cuda.is_available() else "cpu")


def places(device: Literal["auto", "cpu", "cuda"], processes: int) -> list[torch.device]:
    """Returns the device of each process on this machine: a GPU of its own, or the CPU for all.

    Args:
        device: The option of the stage or the judge.
        processes: Number of processes on this machine.

    Raises:
        UserError: When there is no GPU, or there are fewer GPUs than processes, or far more
            processes than cores.
    """
    picked = pick_device(device)
    if processes == 1:
        return [picked]
    if picked.type == "cpu":
        _check_cores(processes)
        return [picked] * processes
    count = torch.cuda.device_count()
    if count < processes:
        raise UserError(
            f"torch sees {count} GPU{'s' if count != 1 else ''}, and each of {processes} processes "
            f"needs its own. Use processes: {count}, or device: cpu"
        )
    return [torch.device("cuda", number) for number in range(processes)]


def _check_cores(processes: int) -> None:
    cores = usable_cores()
    most = max(FEW, PER_CORE * cores)
    if processes > most:
        raise UserError(
            f"{processes} processes share {cores} core{'s' if cores != 1 else ''} here, and each "
            f"takes about 0.5 GB of memory for its libraries. Use at most processes: {most}"
        )


def pick_dtype(precision: Precision, device: torch.device) -> torch.dtype:
    """Returns the dtype that a precision means. auto is bfloat16 on a GPU that supports it."""
    if precision == "auto":
        # Emulated bfloat16 loses digits and is not faster.
        fast = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
        return torch.bfloat16 if fast else torch.float32
    return torch.bfloat16 if precision == "bfloat16" else torch.float32
