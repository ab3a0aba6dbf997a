"""The processes that share the batches of a sampling stage."""

from __future__ import annotations

import os
from datetime import timedelta
from typing import Any

import torch

PATIENCE = timedelta(days=7)
"""Time that a process waits for the batches of the others. A batch of long completions can take
longer than torch's 30 minutes. If a process ends, its launcher ends the others at once."""


class Crew:
    """This process among those of the stage, which the launcher started.

    Args:
        processes: Number of processes. A single one is not started by the launcher.
        device: Device of the stage. With several processes, each one gets its own GPU.

    Attributes:
        rank: Rank of this process, from 0. Rank 0 writes the samples.
        world: Number of processes.
        device: Device of this process.
    """

    def __init__(self, processes: int, device: torch.device) -> None:
        self.world = processes
        self.rank = int(os.environ["RANK"]) if processes > 1 else 0
        self.device = device
        if processes == 1:
            return
        # Only objects of Python are exchanged, so a GPU needs nothing else either.
        torch.distributed.init_process_group("gloo", timeout=PATIENCE)
        if device.type == "cuda":
            self.device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
            torch.cuda.set_device(self.device)

    @property
    def main(self) -> bool:
        """Whether this is rank 0, which writes files."""
        return self.rank == 0

    def gather(self, value: Any) -> list[Any]:
        """Returns the value of every process, in the order of ranks, on each."""
        if self.world == 1:
            return [value]
        values: list[Any] = [None] * self.world
        torch.distributed.all_gather_object(values, value)
        return values

    def leave(self) -> None:
        """Ends the exchange."""
        if self.world > 1:
            torch.distributed.destroy_process_group()
