"""How long a training would roughly take on a GPU, from the arithmetic it has to do; no torch."""

from __future__ import annotations

GPU = "A100"
"""The GPU of the report."""

FLOPS = 0.4 * 312e12
"""Operations per second that training gets out of it: 40 % of its bfloat16 peak."""

COMPLETION_TOKENS = 512
"""Assumed tokens of a prompt with its completion: what the data have is known later."""

PER_STEPS = 1000
"""Steps that hours are told for where the number of steps is not known."""


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
        completions: Of a global batch.
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
