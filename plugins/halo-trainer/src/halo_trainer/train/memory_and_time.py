"""Estimates of a training's disk, host memory and steps, for `halo plan`. It needs no torch."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import Literal

from halo_trainer.sizes.memory import OPTIMIZER_STATES
from halo_trainer.train.checkpoints.counts import most_new_bytes

NOT_SHARED = (
    "the gradient pass computes a prompt for each of its completions, because dropout is above 0 "
    "and each gets its own mask"
)
"""Note on a training whose completions cannot share their prompts."""


@dataclass(frozen=True)
class Workload:
    """The work of a training.

    Attributes:
        optimizer: A name of `torch.optim`.
        reference: Whether a reference model is scored.
        reference_updated: Whether it takes in the policy's weights.
        reference_point: Whether mismatched pairs are scored.
        trained_share: Share of the weights that is trained. About 0 with low-rank factors.
        batch_size: Number of examples per optimiser step.
        completions: Number of completions per example.
        steps: Number of optimiser steps; None if it depends on the data.
        epochs: Number of passes over the data, if `steps` is None.
        checkpointing: Whether activations are computed twice.
        copied: Whether checkpoints are copied into host memory before they are written.
        stored: Whether the reference's log-probabilities are kept on disk.
        rank: Rank of the low-rank factors; None if all weights are trained.
        precision: The option.
        processes: Number of processes on all machines.
        machines: Number of machines.
        sharding: Whether the weights are spread over the processes.
        row: Largest number of tokens of a micro-batch, or ``auto``.
        longest: Largest number of tokens of prompt and completion; None if the model decides.
        device: The option.
    """

    optimizer: str
    reference: bool
    reference_updated: bool
    reference_point: bool
    trained_share: float
    batch_size: int
    completions: int
    steps: int | None
    epochs: int
    checkpointing: bool
    copied: bool = True
    stored: bool = False
    rank: int | None = None
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    processes: int = 1
    machines: int = 1
    sharding: Literal["auto", "none", "full"] = "auto"
    row: int | Literal["auto"] = "auto"
    longest: int | None = None
    device: Literal["auto", "cpu", "cuda"] = "auto"


def disk_bytes(
    weights: int, work: Workload, *, to_come: int, kept: int, adapter_share: float = 0.01
) -> int:
    """Returns an estimate of the most bytes that a training has on disk at a time.

    Args:
        weights: Number of weights of the model.
        work: The work of the training.
        to_come: Largest number of checkpoints that are written.
        kept: Largest number of checkpoints that are kept while the training runs.
        adapter_share: Share of the weights that is trained with low-rank factors.
    """
    each = checkpoint_bytes(weights, work, adapter_share=adapter_share)
    return most_new_bytes(each=each, model=4 * weights, there=0, to_come=to_come, kept=kept)


def checkpoint_bytes(weights: int, work: Workload, *, adapter_share: float = 0.01) -> int:
    """Returns an estimate of the bytes of a checkpoint.

    Weights and the optimiser's state are float32 on disk, too.

    Args:
        weights: Number of weights of the model.
        work: The work of the training.
        adapter_share: Share of the weights that is trained with low-rank factors.
    """
    trained = weights * (work.trained_share or adapter_share)
    states = OPTIMIZER_STATES.get(work.optimizer, 2)
    reference = weights if work.reference_updated else 0
    return round(4 * (trained * (1 + states) + reference))


def steps_of(work: Workload, rows: int | None) -> int | None:
    """Returns the number of optimiser steps; None if it depends on data that are not known yet.

    Args:
        work: The work of the training.
        rows: Number of examples to learn from; None if it is not known yet.
    """
    if work.steps is None and rows is not None:
        return work.epochs * ceil(rows / work.batch_size)
    return work.steps
