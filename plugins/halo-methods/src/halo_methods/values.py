"""What losses impute to people, in plain Python: the value of a gain, without torch.

The gain is a reward less the reference point, without a unit. Figure 4 of the report is made of
these.
"""

from __future__ import annotations

import math

CHORD = 1e-3
"""Gain below which, on both sides of 0, Kahneman and Tversky's power is its chord."""


def logistic(gain: float) -> float:
    """Returns ``sigmoid(g)``: the value function of KTO.

    >>> logistic(0.0), logistic(-1000.0)
    (0.5, 0.0)
    """
    if gain >= 0:
        return 1 / (1 + math.exp(-gain))
    return math.exp(gain) / (1 + math.exp(gain))


def log_logistic(gain: float) -> float:
    """Returns ``log sigmoid(g)``: the value function of DPO.

    >>> round(log_logistic(0.0), 6), log_logistic(-1000.0)
    (-0.693147, -1000.0)
    """
    return min(gain, 0.0) - math.log1p(math.exp(-abs(gain)))


def hinge(gain: float, margin: float) -> float:
    """Returns ``min(0, g - margin)``: the value function of SLiC.

    >>> hinge(0.0, 1.0), hinge(3.0, 1.0)
    (-1.0, 0.0)
    """
    return min(0.0, gain - margin)


def kahneman_tversky(gain: float, alpha: float, loss_aversion: float) -> float:
    """Returns ``g^alpha`` for gains and ``-lambda (-g)^alpha`` for losses.

    Near 0 it is a straight line, as in `halo_methods.value_functions.kahneman_tversky_shortfall`.

    References:
        Tversky & Kahneman (1992), Advances in Prospect Theory; in Human-Aware Loss Functions (2024)
        eq. 6.

    >>> kahneman_tversky(1.0, 0.88, 2.25), kahneman_tversky(-1.0, 0.88, 2.25)
    (1.0, -2.25)
    """
    size = abs(gain)
    worth = size * math.pow(CHORD, alpha - 1) if size < CHORD else math.pow(size, alpha)
    return worth if gain >= 0 else -loss_aversion * worth
