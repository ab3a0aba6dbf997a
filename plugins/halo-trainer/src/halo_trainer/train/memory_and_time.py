"""What a training roughly takes: memory, and hours of a GPU, for `halo plan`; no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil

OPTIMIZER_STATES: Mapping[str, int] = {
    "Adam": 2,
    "AdamW": 2,
    "NAdam": 2,
    "RAdam": 2,
    "Adamax": 2,
    "Adadelta": 2,
    "RMSprop": 1,
    "Adagrad": 1,
    "SGD": 0,
}
"""Float32 values that an optimiser of torch keeps per weight, at its default options."""


GPU = "A100"
"""The GPU of the report."""

FLOPS = 0.4 * 312e12
"""Operations per second that training gets out of it: 40 % of its bfloat16 peak."""

COMPLETION_TOKENS = 512
"""Assumed tokens of a prompt with its completion: what the data have is known later."""

PER_STEPS = 1000
"""Steps that hours are told for where the number of steps is not known."""


@dataclass(frozen=True)
class Workload:
    """What a training has to do.

    Attributes:
        optimizer: A name of `torch.optim`.
        reference: Whether a reference model is scored.
        reference_updated: Whether it takes in the policy's weights.
        reference_point: Whether mismatched pairs are scored.
        trained_share: Share of the weights that is trained; about 0 with low-rank factors.
        batch_size: Examples per optimiser step.
        completions: Completions of an example.
        steps: Optimiser steps; None where the data decide.
        epochs: Passes over the data where they do.
        checkpointing: Whether activations are computed twice.
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


def size_lines(parameters: int, rows: int | None, work: Workload) -> dict[str, str]:
    """Returns lines on weights, memory in each precision and hours on a GPU, by name.

    Args:
        parameters: Weights of the model.
        rows: Examples to learn from; None while they are not known.
        work: What is to be done.
    """
    lines = {"weights": f"{parameters / 1e6:.2f}M"}
    for precision in ("float32", "bfloat16"):
        held = training_gigabytes(
            parameters,
            optimizer=work.optimizer,
            reference=work.reference,
            precision=precision,
            trained_share=work.trained_share,
            refreshed=work.reference_updated,
        )
        lines[precision] = memory_line(held)
    steps = work.steps
    if steps is None and rows is not None:
        steps = work.epochs * ceil(rows / work.batch_size)
    hours = gpu_hours(
        parameters,
        completions=work.batch_size * work.completions,
        steps=steps or PER_STEPS,
        reference=work.reference,
        reference_point=work.reference_point,
        checkpointing=work.checkpointing,
    )
    return lines | {GPU: gpu_hours_line(hours, steps)}


def disk_bytes(
    weights: int, work: Workload, *, checkpoints: int, adapter_share: float = 0.01
) -> int:
    """Returns about how many bytes a training writes at most at a time.

    Weights and the optimiser's state are float32 on disk, too.

    Args:
        weights: Of the model.
        work: What it has to do.
        checkpoints: How many are there at a time, one that is being written among them.
        adapter_share: What is trained of the weights where only low-rank factors are.
    """
    trained = weights * (work.trained_share or adapter_share)
    states = OPTIMIZER_STATES.get(work.optimizer, 2)
    reference = weights if work.reference_updated else 0
    checkpoint = 4 * (trained * (1 + states) + reference)
    return round(checkpoints * checkpoint + 4 * weights)


def training_gigabytes(
    parameters: int,
    *,
    optimizer: str,
    reference: bool,
    precision: str,
    trained_share: float = 1.0,
    refreshed: bool = False,
) -> dict[str, float]:
    """Returns what a device holds during training besides activations, in GB (1e9 bytes).

    Trained weights, their gradients and the optimiser's state are float32 in both precisions;
    frozen ones, be it the reference or what low-rank factors leave alone, count in the precision
    computed in: their embeddings and norms, in float32, are few in a large model. A
    reference that takes in the policy's weights is held as those are.

    Args:
        parameters: Weights of the model.
        optimizer: A name of `torch.optim`; one not known here counts as two states.
        reference: Whether a reference model is held beside the policy.
        precision: ``float32`` or ``bfloat16``.
        trained_share: Share of the weights that is trained; about 0 with low-rank factors.
        refreshed: Whether the reference takes in the policy's weights.
    """
    trained = trained_share * parameters
    states = OPTIMIZER_STATES.get(optimizer, 2)
    frozen = 2 if precision == "bfloat16" else 4
    weights = 4 * trained + frozen * (parameters - trained)
    return {
        "weights": weights / 1e9,
        "gradients": 4 * trained / 1e9,
        "optimizer": 4 * states * trained / 1e9,
        "reference": (weights if refreshed else frozen * parameters) / 1e9 if reference else 0.0,
    }


def memory_line(gigabytes: Mapping[str, float]) -> str:
    """Returns one line on what `training_gigabytes` says.

    >>> held = training_gigabytes(10**9, optimizer="AdamW", reference=True, precision="bfloat16")
    >>> memory_line(held)
    '18.0 GB and activations (weights 4.0, gradients 4.0, optimizer 8.0, reference 2.0)'
    """
    total = sum(gigabytes.values())
    digits = 1 if total >= 1 else 3
    parts = ", ".join(f"{name} {size:.{digits}f}" for name, size in gigabytes.items() if size)
    return f"{total:.{digits}f} GB and activations ({parts})"


def gpu_hours(
    parameters: int,
    *,
    completions: int,
    steps: int,
    reference: bool,
    reference_point: bool,
    checkpointing: bool,
) -> float:
    """Returns the hours of one GPU for some optimiser steps.

    A forward pass takes two operations per weight and token, a backward pass twice as many. The
    reference is a forward pass; a reference point from mismatched pairs is one of each model.

    Args:
        parameters: Weights of the model.
        completions: Completions of a global batch.
        steps: Optimiser steps.
        reference: Whether a reference model is scored.
        reference_point: Whether mismatched pairs are scored.
        checkpointing: Whether activations are computed twice.

    >>> round(gpu_hours(7_000_000_000, completions=32, steps=1000, reference=True,
    ...                 reference_point=True, checkpointing=False), 1)
    3.1
    """
    passes = 3 + checkpointing + reference + 2 * reference_point
    operations = 2 * parameters * completions * COMPLETION_TOKENS * passes * steps
    return operations / FLOPS / 3600


def gpu_hours_line(hours: float, steps: int | None) -> str:
    """Returns the hours with what they rest on.

    Args:
        hours: From `gpu_hours`; of `PER_STEPS` steps where `steps` is None.
        steps: Optimiser steps; None while the size of the data is not known.

    >>> gpu_hours_line(3.123, None)
    'about 3.1 hours per 1,000 steps (512 tokens per completion, 40 % of its bfloat16 peak)'
    >>> gpu_hours_line(124.4, 7800).partition(" (")[0]
    'about 120 hours for 7,800 steps'
    """
    span = f"per {PER_STEPS:,} steps" if steps is None else f"for {steps:,} steps"
    rounded = float(f"{hours:.2g}")
    return (
        f"about {rounded:,g} hours {span} ({COMPLETION_TOKENS} tokens per completion, "
        "40 % of its bfloat16 peak)"
    )
