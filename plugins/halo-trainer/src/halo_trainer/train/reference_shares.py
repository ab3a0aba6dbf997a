"""The schedule of a reference update: its share for every step, asked for in advance; no torch."""

from __future__ import annotations

from array import array
from collections.abc import Sequence

from halo_core.guarded.blame import blaming, plugin_error
from halo_core.reference_update import ReferenceUpdate

TRIED = 10_000
"""Most steps that a spec's check asks for: a suite has many stages, and a check is quick."""


UNMIXABLE = (
    "mixes weights, but low-rank factors cannot be mixed: their product would be that of neither "
    "model. Copy the policy ({use: copy, every: K}), or train all weights"
)
"""What is wrong with an average where low-rank factors are trained."""


def shares_of(update: ReferenceUpdate, steps: int) -> Sequence[float]:
    """Returns the share of the policy that goes into the reference before each step [steps].

    All are asked for before the first step, so that no training ends with a fault of a plugin.

    Args:
        update: Says it.
        steps: Optimiser steps, from 1 on.

    Raises:
        PluginError: When a share is no number from 0 to 1, or none comes back.
    """
    # One block of doubles: a training may have millions of steps.
    return array("d", (_share(update, step) for step in range(1, steps + 1)))


def _share(update: ReferenceUpdate, step: int) -> float:
    call = f"mix({step})"
    with blaming(update, call):
        share: object = update.mix(step)
    # The comparison is false for what is not a number.
    if not (isinstance(share, int | float) and 0 <= share <= 1):
        raise plugin_error(update, call, f"returned {share!r}; expected a number from 0 to 1")
    return float(share)


def mixes_weights(shares: Sequence[float]) -> bool:
    """Returns whether some step neither leaves the reference nor copies the policy."""
    return any(0 < share < 1 for share in shares)
