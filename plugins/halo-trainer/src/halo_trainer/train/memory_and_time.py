"""Estimates of a training's memory and GPU hours, for `halo plan`. It needs no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil

from halo_trainer.train.checkpoints.counts import most_new_bytes

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
"""Number of float32 values that an optimiser of torch keeps per weight, with default options."""


GPU = "A100"
"""Name of the report's GPU."""

FLOPS = 0.4 * 312e12
"""Operations per second in training on this GPU: 40 % of its bfloat16 peak."""

COMPLETION_TOKENS = 512
"""Assumed number of tokens of a prompt with its completion. The real number is known later."""

NOT_SHARED = (
    "the gradient pass computes a prompt for each of its completions, because dropout is above 0 "
    "and each gets its own mask"
)
"""Note on a training whose completions cannot share their prompts."""

PER_STEPS = 1000
"""Number of steps for which hours are given if the number of steps is not known."""


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


def size_lines(parameters: int, rows: int | None, work: Workload) -> dict[str, str]:
    """Returns lines on weights, on memory of a device and of its host, and on GPU hours, by name.

    Args:
        parameters: Number of weights of the model.
        rows: Number of examples to learn from; None if it is not known yet.
        work: The work of the training.
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
    if work.copied:
        copy = checkpoint_bytes(parameters, work) / 1e9
        lines["host"] = f"{copy:.{_digits(copy)}f} GB for the copy of a checkpoint"
    steps = steps_of(work, rows)
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


def training_gigabytes(
    parameters: int,
    *,
    optimizer: str,
    reference: bool,
    precision: str,
    trained_share: float = 1.0,
    refreshed: bool = False,
) -> dict[str, float]:
    """Returns the memory of a device in training without activations, in GB (1e9 bytes).

    Trained weights, their gradients and the optimiser's state are float32 in both precisions.
    Frozen weights (the reference, or those that low-rank factors leave alone) count in the compute
    precision. Their embeddings and norms stay in float32, but are few in a large model. A reference
    that takes in the policy's weights is held like those.

    Args:
        parameters: Number of weights of the model.
        optimizer: A name of `torch.optim`. An unknown one counts as two states per weight.
        reference: Whether a reference model is also held.
        precision: ``float32`` or ``bfloat16``.
        trained_share: Share of the weights that is trained. About 0 with low-rank factors.
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
    """Returns the result of `training_gigabytes` as one line.

    >>> held = training_gigabytes(10**9, optimizer="AdamW", reference=True, precision="bfloat16")
    >>> memory_line(held)
    '18.0 GB and activations (weights 4.0, gradients 4.0, optimizer 8.0, reference 2.0)'
    """
    total = sum(gigabytes.values())
    digits = _digits(total)
    parts = ", ".join(f"{name} {size:.{digits}f}" for name, size in gigabytes.items() if size)
    return f"{total:.{digits}f} GB and activations ({parts})"


def _digits(gigabytes: float) -> int:
    return 1 if gigabytes >= 1 else 3


def passes(*, reference: bool, reference_point: bool, checkpointing: bool) -> int:
    """Returns how often a step computes as much as one forward pass of the model does.

    Args:
        reference: Whether a reference model is scored.
        reference_point: Whether mismatched pairs are scored, by both models.
        checkpointing: Whether activations are computed twice.

    >>> passes(reference=True, reference_point=True, checkpointing=False)
    6
    """
    return 3 + checkpointing + reference + 2 * reference_point


def gpu_hours(
    parameters: int,
    *,
    completions: int,
    steps: int,
    reference: bool,
    reference_point: bool,
    checkpointing: bool,
) -> float:
    """Returns the hours on one GPU for a number of optimiser steps.

    A forward pass takes two operations per weight and token, and a backward pass twice as many. The
    reference needs a forward pass. A reference point from mismatched pairs needs one of each model.

    Args:
        parameters: Number of weights of the model.
        completions: Number of completions per global batch.
        steps: Number of optimiser steps.
        reference: Whether a reference model is scored.
        reference_point: Whether mismatched pairs are scored.
        checkpointing: Whether activations are computed twice.

    >>> round(gpu_hours(7_000_000_000, completions=32, steps=1000, reference=True,
    ...                 reference_point=True, checkpointing=False), 1)
    3.1
    """
    several = passes(
        reference=reference, reference_point=reference_point, checkpointing=checkpointing
    )
    operations = 2 * parameters * completions * COMPLETION_TOKENS * several * steps
    return operations / FLOPS / 3600


def gpu_hours_line(hours: float, steps: int | None) -> str:
    """Returns the hours as text, with their assumptions.

    Args:
        hours: Hours from `gpu_hours`; for `PER_STEPS` steps if `steps` is None.
        steps: Number of optimiser steps; None if the size of the data is not known yet.

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
