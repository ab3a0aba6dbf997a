"""Measures the time that a training waits for a checkpoint, and the parts of writing one.

    python benchmarks/checkpoint_stall.py [MEGABYTES] [--folder DIR]

It makes weights with the state of AdamW, MEGABYTES in all (1,200 by default), and writes them as a
training does, five times each: as before checkpoints were written in the background, and in the
background. Then it prints medians in seconds: the wait of the training, and each part of the work.
On a busy machine, compare the CPU times.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn

from halo_core.hashing import file_hash
from halo_core.workspace.files import make_durable
from halo_trainer.train.checkpoints.background_job import BackgroundJob
from halo_trainer.train.checkpoints.files import contents_of, write_checkpoint
from halo_trainer.train.checkpoints.train_state import TrainState
from halo_trainer.train.optimizers import make_optimizer, state_tensors, trainable

REPEATS = 5
LAYER = 1024


def seconds(call: Callable[[], object]) -> tuple[float, float]:
    """Returns the duration of a call, and the CPU time of the calling thread."""
    started, used = time.perf_counter(), time.thread_time()
    call()
    return time.perf_counter() - started, time.thread_time() - used


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("megabytes", type=int, nargs="?", default=1200)
    parser.add_argument("--folder", default=".")
    given = parser.parse_args(arguments)
    layers = max(1, round(given.megabytes * 1e6 / (12 * LAYER**2)))
    module = nn.ModuleList(nn.Linear(LAYER, LAYER, bias=False) for _ in range(layers))
    parameters = trainable(module)
    optimizer = make_optimizer(parameters, "AdamW", weight_decay=0.0, options={})
    for _, parameter in parameters:
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    optimizer.zero_grad()
    tensors = {**dict(parameters), **state_tensors(optimizer, parameters)}
    size = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        print(f"{size / 1e6:,.0f} MB, {torch.get_num_threads()} threads, load {os.getloadavg()[0]}")
        for name, times in measure(Path(folder), parameters, optimizer, tensors).items():
            wall, cpu = (statistics.median(part) for part in zip(*times, strict=True))
            print(f"{name:44} {wall:7.3f} s, {cpu:7.3f} s of this thread's CPU time")


def measure(
    folder: Path, parameters: list, optimizer: torch.optim.Optimizer, tensors: dict
) -> dict[str, list[tuple[float, float]]]:
    times: dict[str, list[tuple[float, float]]] = {}

    def note(name: str, call: Callable[[], object]) -> None:
        times.setdefault(name, []).append(seconds(call))

    job: BackgroundJob[None] = BackgroundJob()
    file = folder / "part.safetensors"
    held = {name: tensor.detach() for name, tensor in tensors.items()}
    for step in range(REPEATS):
        note("part: write", lambda: save_file(held, file))
        note("part: SHA-256 of the file", lambda: file_hash(file))
        note("part: fsync", lambda: make_durable(file))
        file.unlink()
        state = TrainState(step=step)

        def plainly(state: TrainState = state) -> None:
            contents = contents_of(state, parameters, optimizer, None, copied=False)
            write_checkpoint(folder / "plain", contents)

        def begin(state: TrainState = state) -> None:
            contents = contents_of(state, parameters, optimizer, None, copied=True)
            job.start(lambda: write_checkpoint(folder / "background", contents))

        note("the training waits, without the background", plainly)
        note("the training waits, in the background (copy)", begin)
        note("then the thread writes for", job.result)
        os.sync()
    return times


if __name__ == "__main__":
    main(sys.argv[1:])
