"""Checks the promises of every reference update."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable, Sequence

from halo_core.reference_update import ReferenceUpdate
from halo_core.testing.component import check_component, check_rules, expect, must_not_raise
from halo_core.testing.stateless import only_computes

STEPS = (*range(1, 301), 1_000, 10_007, 1_000_000)
"""Steps that are checked: all of a short training, and some of a long one."""


def check_reference_update(update: ReferenceUpdate) -> None:
    """Runs `check_component`, `check_shares` and `check_stateless`.

    Args:
        update: A reference update with its options.

    Raises:
        AssertionError: At the first rule that is broken.
    """
    check_component(update)
    check_rules(update, UPDATE_CHECKS)


def check_shares(update: ReferenceUpdate) -> None:
    """Checks the share at each step, and that it depends only on the step.

    Raises:
        AssertionError: When a share is not a number from 0 to 1, when it differs if the steps come
            in another order, when it uses the global random state, or when the reference never
            changes.
    """
    chance = random.getstate()
    shares = _shares(update, STEPS)
    expect(
        random.getstate() == chance,
        update,
        "mix() draws from the global random state; a share depends on the step alone",
    )
    shares_again = _shares(update, reversed(STEPS))
    for step in STEPS:
        expect(
            shares[step] == shares_again[step],
            update,
            f"step {step}: mix() gives {shares[step]!r}, and {shares_again[step]!r} when the steps "
            "are asked for in another order; a share depends on the step alone",
        )
    expect(
        any(shares.values()),
        update,
        f"mix() is 0 at all of {len(STEPS)} steps up to {STEPS[-1]:,}: it never changes the "
        "reference",
    )


def check_stateless(update: ReferenceUpdate) -> None:
    """Checks that a call keeps nothing for later calls, writes no file and changes no setting.

    Raises:
        AssertionError: When it does.
    """
    _shares(update, STEPS)
    with only_computes(update, "mix()"):
        _shares(update, STEPS)


UPDATE_CHECKS: Sequence[Callable[[ReferenceUpdate], None]] = (check_shares, check_stateless)
"""The checks that `check_reference_update` runs after `check_component`."""


def _shares(update: ReferenceUpdate, steps: Iterable[int]) -> dict[int, float]:
    shares = {}
    for step in steps:
        with must_not_raise(update, f"mix({step})"):
            share = update.mix(step)
        expect(
            isinstance(share, int | float) and math.isfinite(share) and 0 <= share <= 1,
            update,
            f"mix({step}) is {share!r}; expected a number from 0 to 1",
        )
        shares[step] = float(share)
    return shares
