"""One partner for every example, the same in every epoch, from one cycle through the data."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from halo_trainer.encode.examples import EncodedExample

Positions = npt.NDArray[np.int64]


def fixed_partner(data: Sequence[EncodedExample], position: int, seed: int) -> int:
    """Returns the position of an example's partner. It depends only on the data and the seed.

    The examples form one random cycle, so that each has another as its partner. If the next example
    in the cycle has the same prompt, the partner is the next one with another prompt. If there is
    none, the example is its own partner.

    Args:
        data: All examples.
        position: Position of the example in the data.
        seed: Seed of the run, used for the cycle.
    """
    order, places = _cycle(len(data), seed)
    prompt = data[position].prompt_id
    for distance in range(1, len(data)):
        partner = int(order[(places[position] + distance) % len(data)])
        if data[partner].prompt_id != prompt:
            return partner
    return position


@lru_cache(maxsize=4)
def _cycle(size: int, seed: int) -> tuple[Positions, Positions]:
    """Returns the examples in the order of the cycle, and the place of each in it."""
    order = np.random.Generator(np.random.PCG64([seed % 2**63, 1 << 32])).permutation(size)
    places = np.empty_like(order)
    places[order] = np.arange(size)
    return order, places
