"""The value functions of the report's Figure 4, and KTO's own: gain to value, as plain numbers.

A gain is a reward less the reference point, in reward units (beta times nats of log-ratio).

References:
    Human-Aware Loss Functions (2024), eq. 6, section 4 and Figure 4.
    Tversky and Kahneman 1992, "Advances in prospect theory".
"""

from __future__ import annotations

import math
from collections.abc import Callable

Value = Callable[[float], float]
"""Gain to value."""

ALPHA, LOSS_AVERSION = 0.88, 2.25
"""The medians over individuals that Tversky and Kahneman (1992) found."""


def kahneman_tversky(
    gain: float, *, alpha: float = ALPHA, loss_aversion: float = LOSS_AVERSION
) -> float:
    """Returns the value that people give to a gain or loss of money; report, eq. 6.

    ``gain ** alpha`` for a gain, ``-loss_aversion * (-gain) ** alpha`` for a loss. The slope at 0
    is infinite for alpha below 1.

    Args:
        gain: Any number.
        alpha: Diminishing sensitivity, in (0, 1].
        loss_aversion: lambda of the report, at least 0: how much more a loss weighs.

    >>> kahneman_tversky(1.0), kahneman_tversky(-1.0)
    (1.0, -2.25)
    """
    if gain >= 0:
        return float(gain**alpha)
    return float(-loss_aversion * (-gain) ** alpha)


def rlhf(gain: float) -> float:
    """Returns sigmoid(gain); report, section 4.

    >>> rlhf(0.0)
    0.5
    """
    return sigmoid(gain)


def dpo(gain: float) -> float:
    """Returns log sigmoid(gain); report, section 4.

    >>> round(dpo(0.0), 6)
    -0.693147
    """
    return min(gain, 0.0) - math.log1p(math.exp(-abs(gain)))


def slic(gain: float, *, beta: float = 1.0) -> float:
    """Returns min(0, gain - beta); report, section 4.

    Args:
        gain: Any number.
        beta: The margin from which on nothing more is gained, in the gain's unit.

    >>> slic(0.25), slic(3.0)
    (-0.75, 0.0)
    """
    return min(0.0, gain - beta)


def kto(gain: float) -> float:
    """Returns sigmoid(gain), of a desirable completion; report, eq. 8.

    >>> kto(0.0)
    0.5
    """
    return sigmoid(gain)


def sigmoid(gain: float) -> float:
    """Returns 1 / (1 + exp(-gain)), without overflow."""
    small = math.exp(-abs(gain))
    return 1.0 / (1.0 + small) if gain >= 0 else small / (1.0 + small)
