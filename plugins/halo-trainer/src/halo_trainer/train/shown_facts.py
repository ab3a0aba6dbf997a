"""The facts of a training that the display shows: loss, reference point, speed and memory.

All come from numbers that a step has read already, so showing them never waits for the device.
"""

from __future__ import annotations

import torch

from halo_models.memory_use import memory_fact
from halo_trainer.train.metrics import Stopwatch
from halo_trainer.train.step import Gradient


def loss_text(loss: float) -> str:
    """Returns a loss as the display and the summary show it.

    >>> loss_text(0.69315), loss_text(-1e-9)
    ('0.693', '0.000')
    """
    return f"{loss:z.3f}"


class ShownFacts:
    """Collects the facts of a training.

    The loss is the mean since the last point of the curve, and at a point it is the point itself.
    So the last loss that is shown is the last one of the curve, and of the summary.

    Args:
        watch: Measures the speed.
        device: The device of the training.
    """

    def __init__(self, watch: Stopwatch, device: torch.device) -> None:
        self._watch = watch
        self._device = device
        self._sum = self._weight = 0.0
        self._loss: float | None = None
        self._point: float | None = None

    def count(self, gradient: Gradient) -> None:
        """Takes note of a step."""
        self._sum += gradient.loss * gradient.weight
        self._weight += gradient.weight
        self._loss = self._sum / self._weight if self._weight else gradient.loss
        if gradient.estimate is not None:
            self._point = gradient.estimate.value

    def logged(self, loss: float | None) -> None:
        """Takes note of a point of the curve; None if no example had a weight."""
        self._sum = self._weight = 0.0
        self._loss = 0.0 if loss is None else loss

    def __call__(self) -> dict[str, str]:
        """Returns the facts by label."""
        facts = {}
        if self._loss is not None:
            facts["loss"] = loss_text(self._loss)
        if self._point is not None:
            facts["reference point"] = f"{self._point:z.3f}"
        if (speed := self._watch.speed()) is not None:
            facts["tokens/s"] = f"{speed:,.0f}"
        return facts | memory_fact(self._device)
