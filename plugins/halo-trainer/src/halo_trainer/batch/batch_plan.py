"""The examples of each global batch, and of each micro-batch of each process.

Both are pure functions. The batch depends on seed, epoch and step. The micro-batches depend on the
sizes of the examples and a token budget.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

FOLLOWING_AT_LEAST = 16
"""Smallest number of following examples offered as partners, if the epoch has that many."""
Bin = list[int]
"""Positions of the examples of a micro-batch."""


@dataclass(frozen=True)
class BatchPositions:
    """The examples of one optimiser step, as positions in the data.

    Attributes:
        step: Optimiser step, counted from 1 over all epochs.
        epoch: Epoch, counted from 1.
        indices: Positions of the examples, in global order.
        following: Positions of the next examples of the epoch, nearest first. Empty at its end.
        seed: Seed of the run, for random draws that hold for all epochs.
    """

    step: int
    epoch: int
    indices: Sequence[int]
    following: Sequence[int]
    seed: int


@dataclass(frozen=True)
class BatchPlan:
    """All global batches of a training.

    Each epoch is shuffled separately and cut into batches. The last batch may be short.

    Attributes:
        examples: Number of examples in the data, at least 1.
        batch_size: Number of examples per step.
        seed: Seed of the run, used for the shuffles.
        shuffled: Whether epochs are shuffled. Evaluation uses the data in their order.
    """

    examples: int
    batch_size: int
    seed: int
    shuffled: bool = True

    @property
    def steps_per_epoch(self) -> int:
        """Number of optimiser steps per epoch."""
        return -(-self.examples // self.batch_size)

    def batch(self, step: int) -> BatchPositions:
        """Returns the global batch of a step, counted from 1."""
        epoch, position = divmod(step - 1, self.steps_per_epoch)
        order = self._order(epoch)
        start = position * self.batch_size
        stop = min(start + self.batch_size, self.examples)
        # A batch with only one prompt finds other completions only among the following examples.
        ahead = max(self.batch_size, FOLLOWING_AT_LEAST)
        return BatchPositions(
            step=step,
            epoch=epoch + 1,
            indices=order[start:stop].tolist(),
            following=order[stop : stop + ahead].tolist(),
            seed=self.seed,
        )

    def examples_seen(self, step: int) -> int:
        """Returns the number of examples in all steps up to and including this one."""
        epochs, steps = divmod(step, self.steps_per_epoch)
        return epochs * self.examples + min(steps * self.batch_size, self.examples)

    def rng(self, step: int, purpose: str) -> random.Random:
        """Returns the random generator of one step for one purpose, independent of other steps."""
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

    Every rank gets the same number of micro-batches, so that all ranks make the same calls of each
    model. If there are fewer items than ranks, some micro-batches are empty. Their number is as
    small as the budget allows, and longest-first packing makes them even.

    Args:
        sizes: Number of tokens of each item (an example is never split).
        budget: Largest number of tokens of a micro-batch. A longer item gets its own.
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
    most = -(-len(sizes) // ranks)  # With this number, every item is alone.
    count = min(most, -(-sum(sizes) // (budget * ranks)))
    while True:
        bins = even_bins(sizes, count * ranks)
        if count == most or all(_fits(items, sizes, budget) for items in bins):
            return [bins[rank::ranks] for rank in range(ranks)]
        count += 1


def _fits(items: Bin, sizes: Sequence[int], budget: int) -> bool:
    return len(items) <= 1 or sum(sizes[i] for i in items) <= budget


def even_bins(sizes: Sequence[int], count: int) -> list[Bin]:
    """Packs the longest items first, each into the emptiest bin.

    Args:
        sizes: Number of tokens of each item.
        count: Number of bins.

    >>> even_bins([5, 4, 3, 2], 2)
    [[0, 3], [1, 2]]
    """
    bins: list[Bin] = [[] for _ in range(count)]
    loads = [0] * count
    # Ties are broken by position, so that every process gets the same bins.
    for item in sorted(range(len(sizes)), key=lambda i: (-sizes[i], i)):
        emptiest = loads.index(min(loads))
        bins[emptiest].append(item)
        loads[emptiest] += sizes[item]
    return [sorted(items) for items in bins]
