"""The schedule of a reference update: its share at every step, computed in advance. No torch."""

from __future__ import annotations

from array import array
from collections.abc import Sequence

from halo_core.guarded.blame import blaming, plugin_error
from halo_core.reference_update import ReferenceUpdate

TRIED = 10_000
"""Largest number of steps in a spec's check. A suite has many stages, and a check must be quick."""


UNMIXABLE = (
    "mixes weights, but low-rank factors cannot be mixed: their product would be that of neither "
    "model. Copy the policy ({use: copy, every: K}), or train all weights"
)
"""Message about an average when low-rank factors are trained."""


def shares_of(update: ReferenceUpdate, steps: int) -> Sequence[float]:
    """Returns the share of the policy that goes into the reference before each step [steps].

    All shares are computed before the first step, so that a plugin's error cannot end a training.

    Args:
        update: The reference update.
        steps: Number of optimiser steps.

    Raises:
        PluginError: When a share is not a number from 0 to 1, or the update raises.
    """
    # One array of doubles, because a training may have millions of steps. It is blamed as a whole,
    # and a step only when it fails, because `blaming` takes longer than most updates.
    with blaming(update, "mix"):
        return array("d", (_share(update, step) for step in range(1, steps + 1)))


def _share(update: ReferenceUpdate, step: int) -> float:
    try:
        share: object = update.mix(step)
    except BaseException:
        with blaming(update, f"mix({step})"):
            raise
    # The comparison is false for values that are not numbers.
    if not (isinstance(share, int | float) and 0 <= share <= 1):
        what = f"returned {share!r}; expected a number from 0 to 1"
        raise plugin_error(update, f"mix({step})", what)
    return float(share)


def mixes_weights(shares: Sequence[float]) -> bool:
    """Returns whether any step neither keeps the reference nor copies the policy."""
    return any(0 < share < 1 for share in shares)
