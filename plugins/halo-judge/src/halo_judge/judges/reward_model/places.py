"""The device of each process of the judge."""

from __future__ import annotations

from typing import Literal

import torch

from halo_core.errors import UserError
from halo_models.device import pick_device


def places(device: Literal["auto", "cpu", "cuda"], processes: int) -> list[torch.device]:
    """Returns the device of each process: a GPU of its own, or the CPU, which all share.

    Args:
        device: The option of the judge.
        processes: Number of processes.

    Raises:
        UserError: When there is no GPU, or fewer GPUs than processes.
    """
    picked = pick_device(device)
    if processes == 1 or picked.type == "cpu":
        return [picked] * processes
    count = torch.cuda.device_count()
    if count < processes:
        raise UserError(
            f"torch sees {count} GPU{'s' if count != 1 else ''}, and each of {processes} processes "
            f"needs its own. Use processes: {count}, or device: cpu"
        )
    return [torch.device("cuda", number) for number in range(processes)]
