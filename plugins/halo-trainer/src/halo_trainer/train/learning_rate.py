"""The learning rate as a pure function of the step."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

Schedule = Literal["constant", "linear", "cosine"]


@dataclass(frozen=True)
class LearningRate:
    """The options of the learning rate.

    Attributes:
        peak: The rate after warm-up, above 0.
        warmup_steps: Steps over which the rate rises linearly, 0 or more.
        schedule: The course of the rate after warm-up.
    """

    peak: float
    warmup_steps: int
    schedule: Schedule

    def at(self, step: int, total_steps: int) -> float:
        """Returns the rate of a step, from 1 to `total_steps`."""
        return learning_rate(
            step,
            peak=self.peak,
            warmup_steps=self.warmup_steps,
            total_steps=total_steps,
            schedule=self.schedule,
        )


def learning_rate(
    step: int, *, peak: float, warmup_steps: int, total_steps: int, schedule: Schedule
) -> float:
    """Returns the learning rate of a step.

    Warm-up rises linearly and reaches `peak` at step `warmup_steps`. The next step is at `peak`
    too. The falling schedules would reach 0 one step after the last one, so every step moves the
    weights.

    Args:
        step: 1 to `total_steps`.
        peak: The rate after warm-up, above 0.
        warmup_steps: 0 or more.
        total_steps: Steps of the whole training.
        schedule: The course of the rate after warm-up.

    >>> rates = [
    ...     learning_rate(s, peak=1.0, warmup_steps=2, total_steps=6, schedule="linear")
    ...     for s in range(1, 7)
    ... ]
    >>> rates
    [0.5, 1.0, 1.0, 0.75, 0.5, 0.25]
    """
    if step <= warmup_steps:
        return peak * step / warmup_steps
    if schedule == "constant":
        return peak
    progress = (step - 1 - warmup_steps) / (total_steps - warmup_steps)
    if schedule == "linear":
        return peak * (1 - progress)
    return peak * 0.5 * (1 + math.cos(math.pi * progress))
