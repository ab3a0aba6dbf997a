"""Finds code that seeds the random generators which all code of the process shares."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable
from typing import Any


def seeds_chance(block: Callable[[], object]) -> str:
    """Returns the shared generator that a block of code seeds; "" if it seeds none.

    The block runs twice, with other states of the generators. If the states are equal afterwards,
    the block set them. Numbers that a block only draws leave the states different.

    Args:
        block: Runs the code. Its result is ignored.
    """
    torch = sys.modules.get("torch")
    kept: list[Any] = [random.getstate(), None if torch is None else torch.get_rng_state()]
    ends: list[tuple[object, object]] = []
    try:
        for seed in (1, 2):
            random.seed(seed)
            if torch is not None:
                torch.default_generator.manual_seed(seed)
            block()
            ends.append((random.getstate(), torch and torch.get_rng_state().tolist()))
    finally:
        random.setstate(kept[0])
        if torch is not None:
            torch.set_rng_state(kept[1])
    if ends[0][0] == ends[1][0]:
        return "random"
    return "torch" if torch is not None and ends[0][1] == ends[1][1] else ""


__all__ = ["seeds_chance"]
