"""Value functions: the value of a gain to a human, and its shortfall from 1.

The gain is a reward minus the reference point, without a unit. The first four functions are plain
Python: the value functions that the losses assume people have, as in Figure 4 of the report. The
other four are the same for tensors, as the shortfall ``1 - v(gain)``. Each is written out, so that
a small shortfall keeps its digits.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

CHORD = 1e-3
"""Gain below which, on both sides of 0, Kahneman and Tversky's power is replaced by its chord."""


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

    Near 0 it is a straight line, as in `kahneman_tversky_shortfall`.

    References:
        Tversky & Kahneman (1992), Advances in Prospect Theory; in Human-Aware Loss Functions (2024)
        eq. 6.

    >>> kahneman_tversky(1.0, 0.88, 2.25), kahneman_tversky(-1.0, 0.88, 2.25)
    (1.0, -2.25)
    """
    size = abs(gain)
    worth = size * math.pow(CHORD, alpha - 1) if size < CHORD else math.pow(size, alpha)
    return worth if gain >= 0 else -loss_aversion * worth


def logistic_shortfall(gains: Tensor) -> Tensor:
    """Returns ``1 - sigmoid(g)`` [B], for the value function of KTO and, in Figure 4, of RLHF.

    Args:
        gains: Gain of each completion: its reward above the reference point, or the negative of
            that for an undesirable one [B].

    >>> import torch
    >>> logistic_shortfall(torch.tensor([0.0, 2.0]))
    tensor([0.5000, 0.1192])
    """
    import torch

    return torch.sigmoid(-gains)


def log_logistic_shortfall(gains: Tensor) -> Tensor:
    """Returns ``1 - log sigmoid(g)`` [B], for the value function of DPO.

    Args:
        gains: Gain of each completion: its reward above the reference point, or the negative of
            that for an undesirable one [B].

    >>> import torch
    >>> log_logistic_shortfall(torch.tensor([0.0, 2.0]))
    tensor([1.6931, 1.1269])
    """
    import torch.nn.functional as F

    return 1 - F.logsigmoid(gains)


def hinge_shortfall(gains: Tensor, *, margin: float) -> Tensor:
    """Returns ``1 - min(0, g - margin)`` [B], for the value function of SLiC.

    Args:
        gains: Gain of each completion: its reward above the reference point, or the negative of
            that for an undesirable one [B].
        margin: Gain above which the value does not grow.

    >>> import torch
    >>> hinge_shortfall(torch.tensor([0.0, 2.0]), margin=1.0)
    tensor([2., 1.])
    """
    return 1 + (margin - gains).clamp(min=0)


def kahneman_tversky_shortfall(gains: Tensor, *, alpha: float, loss_aversion: float) -> Tensor:
    """Returns 1 minus Kahneman and Tversky's value of a gain.

    The value is ``v(g) = g^alpha`` for gains and ``-lambda (-g)^alpha`` for losses. At 0 its slope
    is infinite for alpha below 1. So between -`CHORD` and `CHORD` it is replaced by its chord, a
    straight line through 0 on each side. The function stays continuous, concave in gains and convex
    in losses. Its slope is at most ``lambda CHORD^(alpha - 1)``, and outside it is exact. At 0 the
    slope is that of gains.

    Args:
        gains: Rewards above the reference point [...].
        alpha: Exponent of gains and losses, above 0 and at most 1.
        loss_aversion: lambda: how much more a loss counts than a gain of the same size.

    References:
        Tversky & Kahneman (1992), Advances in Prospect Theory; in Human-Aware Loss Functions (2024)
        eq. 6.

    >>> import torch
    >>> kahneman_tversky_shortfall(torch.tensor([1.0, 0.0, -1.0]), alpha=0.88, loss_aversion=2.25)
    tensor([0.0000, 1.0000, 3.2500])
    """
    import torch

    sizes = torch.where(gains >= 0, gains, -gains)
    powers = sizes.clamp(min=CHORD) ** alpha
    worth = torch.where(sizes < CHORD, sizes * CHORD ** (alpha - 1), powers)
    return 1 - torch.where(gains >= 0, worth, -loss_aversion * worth)
