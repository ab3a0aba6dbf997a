"""Which examples make up which global batch, and which micro-batch of which process.

Both are pure functions: the batch of seed, epoch and step, the micro-batches of the sizes of its
examples and a token budget.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

FOLLOWING_AT_LEAST = 16
"""Fewest following examples that are offered as partners, where the epoch still has them."""
Bin = list[int]
"""The positions of the examples of a micro-batch."""


@dataclass(frozen=True)
class BatchPositions:
    """The examples of one optimiser step, as positions in the data.

    Attributes:
        step: Counted from 1 over all epochs.
        epoch: Counted from 1.
        indices: In global order.
        following: Those that come next in the epoch, nearest first; empty at its end.
        seed: The run's, for what is drawn once for all epochs.
    """

    step: int
    epoch: int
    indices: Sequence[int]
    following: Sequence[int]
    seed: int


@dataclass(frozen=True)
class BatchPlan:
    """Every global batch of a training.

    Each epoch is a shuffle of its own, cut into batches; the last one may be short.

    Attributes:
        examples: Examples in the data, at least 1.
        batch_size: Examples per step.
        seed: The run's, which draws the shuffles.
        shuffled: Whether epochs are shuffled; evaluation goes through the data as it is.
    """

    examples: int
    batch_size: int
    seed: int
    shuffled: bool = True

    @property
    def steps_per_epoch(self) -> int:
        """Optimiser steps of one epoch."""
        return -(-self.examples // self.batch_size)

    def batch(self, step: int) -> BatchPositions:
        """Returns the global batch of a step, counted from 1."""
        epoch, position = divmod(step - 1, self.steps_per_epoch)
        order = self._order(epoch)
        start = position * self.batch_size
        stop = min(start + self.batch_size, self.examples)
        # A batch of one prompt finds other completions only among those that follow.
        ahead = max(self.batch_size, FOLLOWING_AT_LEAST)
        return BatchPositions(
            step=step,
            epoch=epoch + 1,
            indices=order[start:stop].tolist(),
            following=order[stop : stop + ahead].tolist(),
            seed=self.seed,
        )

    def examples_seen(self, step: int) -> int:
        """Returns how many examples the steps up to and including this one hold."""
        epochs, steps = divmod(step, self.steps_per_epoch)
        return epochs * self.examples + min(steps * self.batch_size, self.examples)

    def rng(self, step: int, purpose: str) -> random.Random:
        """Returns the chance of one step for one purpose; any step can be drawn alone."""
        return random.Random(f"halo:{self.seed}:{purpose}:{step}")

    def _order(self, epoch: int) -> npt.NDArray[np.int64]:
        if not self.shuffled:
            return np.arange(self.examples)
        return _shuffled(self.examples, self.seed, epoch)


@lru_cache(maxsize=4)
def _shuffled(examples: int, seed: int, epoch: int) -> npt.NDArray[np.int64]:
    return np.random.Generator(np.random.PCG64([seed % 2**63, epoch])).permutation(examples)


def split_into_micro_batches(sizes: Sequence[int], *, budget: int, ranks: int) -> list[list[Bin]]:
    """Returns, for each rank, its micro-batches as positions of items.

    Every rank gets the same number of micro-batches, so that all make the same calls of each
    model; where items are fewer than ranks, some are empty. There are as few as the budget
    allows, and they are as even as longest-first packing makes them.

    Args:
        sizes: Tokens of each item (an example is never split).
        budget: Most tokens of a micro-batch; an item longer than that is alone in one.
        ranks: Number of processes.

    Returns:
        Micro-batches by rank and index, each in ascending order of position.

    >>> split_into_micro_batches([5, 4, 3, 2], budget=7, ranks=1)
    [[[0, 3], [1, 2]]]
    >>> split_into_micro_batches([5, 4], budget=100, ranks=3)
    [[[0]], [[1]], [[]]]
    """
    if not sizes:
        return [[] for _ in range(ranks)]
    most = -(-len(sizes) // ranks)  # then every item is alone
    count = min(most, -(-sum(sizes) // (budget * ranks)))
    while True:
        bins = _even_bins(sizes, count * ranks)
        if count == most or all(_fits(items, sizes, budget) for items in bins):
            return [bins[rank::ranks] for rank in range(ranks)]
        count += 1


def _fits(items: Bin, sizes: Sequence[int], budget: int) -> bool:
    return len(items) <= 1 or sum(sizes[i] for i in items) <= budget


def _even_bins(sizes: Sequence[int], count: int) -> list[Bin]:
    """Longest first, each item into the emptiest bin."""
    bins: list[Bin] = [[] for _ in range(count)]
    loads = [0] * count
    # Equal sizes go by position: every process must come to the same bins by itself.
    for item in sorted(range(len(sizes)), key=lambda i: (-sizes[i], i)):
        emptiest = loads.index(min(loads))
        bins[emptiest].append(item)
        loads[emptiest] += sizes[item]
    return [sorted(items) for items in bins]
