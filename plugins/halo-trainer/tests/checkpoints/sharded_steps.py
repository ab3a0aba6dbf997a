"""Run by four processes: steps of a small network, saved and continued by other numbers of them.

The arguments are a folder, and a list of numbers of processes such as ``2,4,1``. Two steps are done
with each. In a list that ends with ``kill``, rank 1 then ends itself in the middle of its file.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import fully_shard

from halo_trainer.train.checkpoints import shard_files
from halo_trainer.train.checkpoints.checkpoint import Checkpoints
from halo_trainer.train.checkpoints.files import contents_of, is_spread_out
from halo_trainer.train.checkpoints.search import find_whole
from halo_trainer.train.checkpoints.shard_files import Others
from halo_trainer.train.checkpoints.train_state import TrainState
from halo_trainer.train.optimizers import make_optimizer, trainable, update_weights

STEPS = 2


def network() -> nn.Module:
    """A network of which no axis divides by 2 or 4; one has fewer rows than processes."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 7), nn.LayerNorm(7), nn.Tanh(), nn.Linear(7, 3, bias=False))


def step(module: nn.Module, optimizer: torch.optim.Optimizer, number: int) -> None:
    inputs = torch.randn(6, 5, generator=torch.Generator().manual_seed(number))
    module(inputs).square().sum().backward()
    update_weights(optimizer, 0.01 * number)


def uninterrupted(steps: int) -> dict[str, torch.Tensor]:
    """The weights after steps of one process."""
    module = network()
    optimizer = make_optimizer(trainable(module), "AdamW", weight_decay=0.1, options={})
    for number in range(1, steps + 1):
        step(module, optimizer, number)
    return {name: p.detach() for name, p in trainable(module)}


def continue_with(folder: Path, rank: int, mesh: DeviceMesh | None, processes: int) -> None:
    module = network()
    if mesh is not None:
        for layer in module:
            if next(layer.parameters(), None) is not None:
                fully_shard(layer, mesh=mesh)
        fully_shard(module, mesh=mesh)
    parameters = trainable(module)
    assert is_spread_out(parameters) == (mesh is not None)
    optimizer = make_optimizer(parameters, "AdamW", weight_decay=0.1, options={})
    checkpoints = Checkpoints(folder, keep_last=9, keep_best=0, main=rank == 0)
    scores = find_whole(folder, print, with_reference=False, exports_best=False)
    state = checkpoints.restore(scores, parameters, optimizer)
    for _ in range(STEPS):
        state.step += 1
        step(module, optimizer, state.step)
    save(checkpoints, state, parameters, optimizer, rank=rank, mesh=mesh, processes=processes)


def save(
    checkpoints: Checkpoints,
    state: TrainState,
    parameters: Any,
    optimizer: torch.optim.Optimizer,
    *,
    rank: int,
    mesh: DeviceMesh | None,
    processes: int,
) -> None:
    state.processes = processes
    contents = contents_of(state, parameters, optimizer, None, copied=True, rank=rank)
    if mesh is None:
        checkpoints.write(contents, ())
        return
    told: list[Any] = [checkpoints.begin(state.step) if rank == 0 else None]
    torch.distributed.broadcast_object_list(told, src=0, group=mesh.get_group())
    checkpoints.write_part(told[0], contents, (), Others())
    torch.distributed.barrier(group=mesh.get_group())


def killed_in_its_file(rank: int) -> Any:
    def write(tensors: Any, path: Path) -> None:
        save_file(tensors, path)
        if rank == 1:
            os.truncate(path, path.stat().st_size // 2)
            os.kill(os.getpid(), signal.SIGKILL)

    return write


def main(folder: Path, numbers: list[str]) -> None:
    torch.distributed.init_process_group("gloo")
    rank = torch.distributed.get_rank()
    meshes = {n: DeviceMesh("cpu", list(range(n))) for n in (2, 4)}
    for number in numbers:
        if number == "kill":
            shard_files.save_file = killed_in_its_file(rank)
        processes = 2 if number == "kill" else int(number)
        if rank < processes:
            continue_with(folder, rank, meshes.get(processes), processes)
        torch.distributed.barrier()
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2].split(","))
