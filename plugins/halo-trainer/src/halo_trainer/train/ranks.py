"""The processes of a training, through accelerate. A single process needs none of it."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import timedelta
from typing import Any, Literal, TypeVar, cast

import torch
from torch import Tensor, nn

from halo_core.errors import HaloError, UserError
from halo_models.device import pick_device
from halo_trainer.sharding.shard import accumulating, is_spread

Result = TypeVar("Result")

PATIENCE = timedelta(hours=6)
"""Time that a process waits for the others. Rank 0 alone reads and hashes whole checkpoints, which
can take longer than torch's 10 minutes. If a process ends, its launcher ends the others at once."""


class Ranks:
    """This process among all processes of a training.

    Args:
        device: The stage's option. With several processes, each one gets its own GPU.

    Attributes:
        rank: Rank of this process, 0 to `world` - 1.
        world: Number of processes, from the launcher's ``WORLD_SIZE``.
        device: Device of this process.

    Raises:
        UserError: When there is no such device, or accelerate is configured for another kind
            of training.
    """

    def __init__(self, device: Literal["auto", "cpu", "cuda"]) -> None:
        self.rank, self.world = 0, int(os.environ.get("WORLD_SIZE", "1"))
        self.device = pick_device(device)
        self._accelerator: Any = None
        self._wrapped: list[nn.Module] = []
        if self.world > 1:
            self._join()

    def _join(self) -> None:
        from accelerate import (
            Accelerator,
            DistributedDataParallelKwargs,
            DistributedType,
            InitProcessGroupKwargs,
        )

        self._accelerator = Accelerator(
            cpu=self.device.type == "cpu",
            mixed_precision="no",
            kwargs_handlers=[
                DistributedDataParallelKwargs(
                    broadcast_buffers=False, gradient_as_bucket_view=True
                ),
                InitProcessGroupKwargs(timeout=PATIENCE),
            ],
        )
        kind = self._accelerator.distributed_type
        if kind not in (DistributedType.MULTI_CPU, DistributedType.MULTI_GPU):
            raise UserError(
                f"accelerate is set up for {kind}; expected multi-GPU or multi-CPU in its config. "
                "To spread the weights over the processes, set sharding: full"
            )
        self.rank = self._accelerator.process_index
        if self.device.type == "cuda":
            self.device = self._accelerator.device

    @property
    def main(self) -> bool:
        """Whether this is rank 0, which writes files."""
        return self.rank == 0

    def wrap(self, module: nn.Module) -> nn.Module:
        """Returns a module whose gradients are averaged over the processes.

        Args:
            module: A module with the same weights on each process, or one from `sharding.shard`.
        """
        if self._accelerator is None or is_spread(module):
            return module
        with warnings.catch_warnings():
            # Buffers only have constants here. The option that replaces `broadcast_buffers` is too
            # new to rely on.
            warnings.filterwarnings("ignore", "`broadcast_buffers`", FutureWarning)
            wrapped: nn.Module = self._accelerator.prepare_model(module)
        self._wrapped.append(wrapped)
        return wrapped

    def no_sync(self, module: nn.Module) -> AbstractContextManager[None]:
        """Returns a context in which gradients stay on their process and accumulate there.

        Args:
            module: A module from `wrap`. If its weights are sharded, the gradients of whole weights
                accumulate; see `sharding.shard.accumulating`.
        """
        if self._accelerator is None:
            return nullcontext()
        if is_spread(module):
            return accumulating(module)
        context: AbstractContextManager[None] = self._accelerator.no_sync(module)
        return context

    def aside(self, module: nn.Module) -> AbstractContextManager[None]:
        """Returns a context for passes that are not part of a step.

        Their gradients are not exchanged. If the weights are sharded they must be, so all processes
        must compute the same.

        Args:
            module: A module from `wrap`.
        """
        return nullcontext() if is_spread(module) else self.no_sync(module)

    def sum(self, values: Tensor) -> Tensor:
        """Returns the sum over all processes, the same on each.

        Args:
            values: The values of this process, of the same shape on each. They are overwritten.
        """
        if self._accelerator is not None:
            torch.distributed.all_reduce(values)
        return values

    def positions(self, values: Sequence[int]) -> Tensor:
        """Returns positions as a tensor on this process's device, which nobody waits for."""
        return torch.tensor(values, dtype=torch.int64).to(self.device, non_blocking=True)

    def gather(self, value: Any) -> list[Any]:
        """Returns the value of every process, in the order of ranks, on each."""
        if self._accelerator is None:
            return [value]
        values: list[Any] = [None] * self.world
        torch.distributed.all_gather_object(values, value)
        return values

    def from_main(self, call: Callable[[], Result]) -> Result:
        """Returns the result of a call on rank 0, on each process.

        Args:
            call: A function, whose result and errors can be sent to another process.

        Raises:
            HaloError: The error that it raises, on each process.
        """
        if self._accelerator is None:
            return call()
        result: Any = None
        error: HaloError | None = None
        if self.main:
            try:
                result = call()
            except HaloError as raised:
                error = raised
        result, error = self.gather((result, error))[0]
        if error is not None:
            raise error
        return cast(Result, result)

    def wait(self) -> None:
        """Waits until all processes have arrived."""
        if self._accelerator is not None:
            self._accelerator.wait_for_everyone()

    def abandon(self) -> None:
        """Ends the exchange without a message. The others notice it when this process has ended.

        So the error of this process is written before theirs, which follow from it.
        """
        self._accelerator = None

    def leave(self) -> None:
        """Ends the process group. No sums, and no passes of wrapped modules, are possible then."""
        if self._accelerator is not None:
            for module in self._wrapped:
                _drop_exchange(module)
            torch.distributed.destroy_process_group()
            self._accelerator = None


def _drop_exchange(module: nn.Module) -> None:
    """Takes the C++ objects that exchange gradients away from a module of torch's DDP.

    They hold the process group. If they were its last holder, torch would end gloo's thread while
    it holds Python's global lock, and that thread may need the lock to end: on two busy cores, 2 of
    15 trainings never ended. A Python object that holds the group ends it without the lock.
    """
    for name in ("logger", "reducer"):
        vars(module).pop(name, None)
