"""Metrics as exact sums over examples, never as means of means; speed and memory."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from halo_core.feedback import Feedback
from halo_core.loss import Loss, LossBatch, LossOutput
from halo_core.reference_point import Estimate, RefPointEstimator
from halo_models.memory_use import peak_bytes
from halo_trainer.batch.micro_batch import GlobalBatch
from halo_trainer.train.group_metrics import group_metrics

Value = Tensor | float
Sums = dict[str, tuple[float, float]]
"""(sum, count) by name of the metric."""


class Metrics:
    """Sums and counts of this process by name, in float64, without waiting for the device.

    Args:
        sums: Earlier sums to continue.
    """

    def __init__(self, sums: Mapping[str, Sequence[float]] | None = None) -> None:
        self._sums: dict[str, tuple[Value, Value]] = {
            name: (float(pair[0]), float(pair[1])) for name, pair in (sums or {}).items()
        }

    def add(self, name: str, total: Value, count: Value) -> None:
        """Adds a sum and its count."""
        old = self._sums.get(name, (0.0, 0.0))
        self._sums[name] = (old[0] + _double(total), old[1] + _double(count))

    def merge(self, other: Metrics) -> None:
        """Adds all sums of another object."""
        for name, (total, count) in other._sums.items():
            self.add(name, total, count)

    def add_output(self, feedback: Feedback, batch: LossBatch, output: LossOutput) -> None:
        """Adds a micro-batch's loss, rewards, lengths and the loss's own metrics."""
        weights = output.counts.double()
        self.add("train/loss", (output.losses.detach().double() * weights).sum(), weights.sum())
        no_samples = torch.ones_like(batch.desirable) if batch.sampled is None else ~batch.sampled
        self.add("policy/lengths", (batch.lengths * no_samples).sum(), no_samples.sum())
        rewards = None if output.rewards is None else output.rewards.detach()
        if feedback == "scored":
            for name, total, count in group_metrics(batch, rewards):
                self.add(name, total, count)
        elif rewards is not None:
            self._add_rewards(feedback, batch, rewards)
        for name, (total, count) in output.metrics.items():
            self.add(name, _detached(total), _detached(count))

    def add_batch(
        self, feedback: Feedback, batch: GlobalBatch, estimate: Estimate | None, *, steps: float = 1
    ) -> None:
        """Adds metrics of a whole global batch: examples per class, and the reference point.

        Args:
            feedback: Kind of feedback of the loss.
            batch: The global batch.
            estimate: Its complete reference point; None if it has none.
            steps: Divisor of the counts of examples: 1 gives examples per step.
        """
        if feedback == "binary":
            desirable = sum(e.completions[0].desirable for e in batch.examples)
            self.add("counts/desirable", desirable, steps)
            self.add("counts/undesirable", len(batch.examples) - desirable, steps)
        if estimate is not None:
            self.add("policy/reference_point", estimate.value, 1)
            for name, (value, count) in estimate.metrics.items():
                self.add(name, value, count)

    def _add_rewards(self, feedback: Feedback, batch: LossBatch, rewards: Tensor) -> None:
        desirable = batch.desirable
        undesirable = ~desirable if batch.sampled is None else ~desirable & ~batch.sampled
        names = ("chosen", "rejected") if feedback == "paired" else ("desirable", "undesirable")
        for name, mask in zip(names, (desirable, undesirable), strict=True):
            self.add(f"rewards/{name}", torch.where(mask, rewards, 0).sum(), mask.sum())
        if feedback == "paired":
            chosen, rejected = batch.of_pairs(rewards)
            margins = chosen - rejected
            self.add("rewards/margins", margins.sum(), len(margins))
            self.add("rewards/accuracies", (margins > 0).sum(), len(margins))

    def sums(self) -> Sums:
        """Returns (sum, count) by name, as numbers that are read from the device at once."""
        read = _numbers([value for pair in self._sums.values() for value in pair])
        return dict(zip(self._sums, zip(read[::2], read[1::2], strict=True), strict=True))


def _numbers(values: Sequence[Value]) -> list[float]:
    """Returns values as numbers, and waits for the device once if any is there."""
    tensors = [value for value in values if isinstance(value, Tensor)]
    if not tensors:
        return [float(value) for value in values]
    device = max((value.device for value in tensors), key=lambda place: place.type != "cpu")
    moved = [value.double().to(device, non_blocking=True) for value in tensors]
    read = iter(torch.stack(moved).tolist())
    return [next(read) if isinstance(value, Tensor) else float(value) for value in values]


def _detached(value: Value) -> Value:
    return value.detach() if isinstance(value, Tensor) else value


def _double(value: Value) -> Value:
    return value.double() if isinstance(value, Tensor) else value


def total(parts: Sequence[Sums]) -> Sums:
    """Returns the sums of several processes, added in the order of ranks."""
    # A process with only empty micro-batches has no sums.
    names = dict.fromkeys(name for part in parts for name in part)
    return {
        name: (
            math.fsum(part[name][0] for part in parts if name in part),
            math.fsum(part[name][1] for part in parts if name in part),
        )
        for name in names
    }


def means(sums: Sums) -> dict[str, float]:
    """Returns sum / count by name, except if the count is 0."""
    return {name: total / count for name, (total, count) in sums.items() if count != 0}


class Sources:
    """The component of each metric, for the message about a metric that is not finite.

    Args:
        loss: The source of all metrics that are not the estimator's.
        estimator: The source of the metrics passed to `take`; None if there is no estimator.
    """

    def __init__(self, loss: Loss, estimator: RefPointEstimator | None) -> None:
        self._loss = loss
        self._estimator = estimator
        self._estimated: set[str] = set()

    def take(self, estimate: Estimate) -> None:
        """Remembers the names of the estimator's metrics."""
        self._estimated |= set(estimate.metrics)

    def fault(self, sums: Sums) -> str | None:
        """Returns a message about a metric that is not finite; None if all are finite."""
        for name, pair in sums.items():
            if not all(map(math.isfinite, pair)):
                value = pair[0] if math.isfinite(pair[1]) else pair[1]
                what = "" if math.isfinite(pair[1]) else "the count of "
                return (
                    f"{self._who(name)} gave {what}the metric {name!r} as {value}; expected a "
                    "finite number. Look at how it is computed, and at the rows"
                )
        return None

    def _who(self, name: str) -> str:
        if self._estimator is not None and name in self._estimated:
            return f"the reference point {self._estimator.spec_name}"
        return f"the loss {self._loss.spec_name}"


class Stopwatch:
    """Measures steps between two calls of `lap`.

    Args:
        device: Device of the training.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._start = time.perf_counter()
        self._tokens = 0
        self._steps = 0
        self._speed: float | None = None

    def count(self, tokens: int) -> None:
        """Adds a step with this number of tokens, over all processes."""
        self._tokens += tokens
        self._steps += 1

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Excludes the time of a `with` statement."""
        began = time.perf_counter()
        yield
        self._start += time.perf_counter() - began

    def lap(self) -> dict[str, float]:
        """Returns ``perf/*`` of the steps since the last call, and starts again."""
        now = time.perf_counter()
        seconds, tokens, steps = now - self._start, self._tokens, max(1, self._steps)
        self._start, self._tokens, self._steps = now, 0, 0
        self._speed = tokens / seconds
        return {
            "perf/tok_s": tokens / seconds,
            "perf/step_s": seconds / steps,
            "perf/peak_gb": peak_bytes(self._device) / 1e9,
        }

    def speed(self) -> float | None:
        """Returns the tokens per second since the last lap, or of that lap right after it.

        None before the first step.
        """
        if not self._steps:
            return self._speed
        return self._tokens / (time.perf_counter() - self._start)
