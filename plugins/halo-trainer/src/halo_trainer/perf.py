"""How fast a training is, and how much memory it took."""

from __future__ import annotations

import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch


class Stopwatch:
    """Measures steps between two calls of `lap`.

    Args:
        device: Where training computes.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._start = time.perf_counter()
        self._tokens = 0
        self._steps = 0

    def count(self, tokens: int) -> None:
        """Adds a step of so many tokens, over all processes."""
        self._tokens += tokens
        self._steps += 1

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Leaves out what is done in a `with` statement."""
        began = time.perf_counter()
        yield
        self._start += time.perf_counter() - began

    def lap(self) -> dict[str, float]:
        """Returns ``perf/*`` of the steps since the last call, and starts anew."""
        now = time.perf_counter()
        seconds, tokens, steps = now - self._start, self._tokens, max(1, self._steps)
        self._start, self._tokens, self._steps = now, 0, 0
        return {
            "perf/tok_s": tokens / seconds,
            "perf/step_s": seconds / steps,
            "perf/peak_gb": self._peak_bytes() / 1e9,
        }

    def _peak_bytes(self) -> int:
        if self._device.type == "cuda":
            return torch.cuda.max_memory_allocated(self._device)
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
