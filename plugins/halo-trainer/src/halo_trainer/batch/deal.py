"""Cuts a global batch into micro-batches by a token budget, and deals them to ranks."""

from __future__ import annotations

from collections.abc import Sequence

Bin = list[int]


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
