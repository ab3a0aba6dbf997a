"""Checks the value function of a loss: its numbers, and that the loss wants what people value."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

from halo_core.loss import Loss
from halo_core.testing.component import expect, must_not_raise
from halo_core.testing.losses.loss_cases import batch_of, call, mixed_case, settled_loss

GAINS = (-1e4, -1.0, -1e-9, 0.0, 1e-9, 1.0, 1e4)
"""Gains at which a value must be a number, in units of the reward."""

TOKEN = -60.0
"""Log-probability in nats of each token, which leaves room for more likely ones."""

SHIFTS = (-50.0, -20.0, -8.0, -4.0, -2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 20.0, 50.0)
"""Changes of the log-probability of each token of one completion, in nats."""

FALL = 1e-6
"""A value or a loss that falls by at most this part of itself counts as unchanged."""


def check_value(loss: Loss) -> None:
    """Checks the value function of a loss, if it has one.

    The loss of a completion is, up to a constant and a regulariser, the negative value of its gain
    (the report "Human-Aware Loss Functions", section 3). So a value may fall with the gain, as that
    of IPO does beyond its target, but only where the loss rises.

    Raises:
        AssertionError: When some gains have a value and others have none, when a value is not
            finite, or when the value falls with the gain where the loss falls, too.
    """
    values = {}
    for gain in GAINS:
        with must_not_raise(loss, f"value({gain:g})"):
            values[gain] = loss.value(gain)
    if all(value is None for value in values.values()):
        return
    for gain, value in values.items():
        expect(
            isinstance(value, float) and math.isfinite(value),
            loss,
            f"value({gain:g}) is {value!r}; expected a finite float",
        )
    _check_agrees(loss)


def _check_agrees(loss: Loss) -> None:
    for (gain, before), (larger, after) in pairwise(_losses_by_gain(settled_loss(loss))):
        with must_not_raise(loss, f"value() of the gains {gain:.4g} and {larger:.4g}"):
            value, other = loss.value(gain), loss.value(larger)
        if value is None or other is None or larger <= gain:
            continue
        expect(
            not (_falls(value, other) and _falls(before, after)),
            loss,
            f"value({gain:.4g}) is {value:.4g} and value({larger:.4g}) is only {other:.4g}, as if "
            f"people liked the larger gain less, but the loss falls there from {before:.4g} to "
            f"{after:.4g}; expected the value to rise where the loss falls",
        )


def _falls(first: float, second: float) -> bool:
    return first - second > FALL * max(1.0, abs(first))


def _losses_by_gain(loss: Loss) -> Iterator[tuple[float, float]]:
    """Yields the gain and the loss of a desirable completion that becomes more and more likely."""
    feedback = loss.resolved_feedback()
    if feedback not in ("binary", "paired") or loss.heads() or "policy_logps" not in loss.needed():
        return
    case = mixed_case(loss)
    equal = [[TOKEN] * len(tokens) for tokens in case.policy]
    case = replace(case, policy=equal, reference=equal, sampler=equal)
    row = case.desirable.index(True)
    rival = row + 1 if case.desirable[row + 1 : row + 2] == [False] else row - 1
    for shift in SHIFTS:
        moved = [[TOKEN + shift] * len(t) if i == row else t for i, t in enumerate(equal)]
        name = f"tokens with a log-probability of {TOKEN + shift:g}"
        each = replace(case, policy=moved, name=name)
        batch = batch_of(loss, each)
        if batch.reference_point is not None:  # Without it, a gain is the reward itself.
            batch = replace(batch, reference_point=batch.reference_point * 0)
        output = call(loss, batch, each)
        if output.rewards is None:
            return
        rewards = output.rewards.tolist()
        gain = rewards[row] - (rewards[rival] if feedback == "paired" else 0.0)
        yield gain, float(output.losses[case.examples[row]])


__all__ = ["check_value"]
