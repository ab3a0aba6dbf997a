"""Value functions: how much a gain is worth to a human, and how far it falls short of 1.

Each takes the gain, a reward less the reference point, and returns ``1 - v(gain)``: what is left to
lose. They are written out, so that a small shortfall keeps its digits.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from halo_methods.values import CHORD


def logistic_shortfall(gains: Tensor) -> Tensor:
    """Returns ``1 - sigmoid(g)``, the value function of KTO and, in Figure 4, of RLHF.

    >>> logistic_shortfall(torch.tensor([0.0, 2.0]))
    tensor([0.5000, 0.1192])
    """
    return torch.sigmoid(-gains)


def log_logistic_shortfall(gains: Tensor) -> Tensor:
    """Returns ``1 - log sigmoid(g)``, the value function of DPO.

    >>> log_logistic_shortfall(torch.tensor([0.0, 2.0]))
    tensor([1.6931, 1.1269])
    """
    return 1 - F.logsigmoid(gains)


def hinge_shortfall(gains: Tensor, *, margin: float) -> Tensor:
    """Returns ``1 - min(0, g - margin)``, the value function of SLiC.

    >>> hinge_shortfall(torch.tensor([0.0, 2.0]), margin=1.0)
    tensor([2., 1.])
    """
    return 1 + (margin - gains).clamp(min=0)


def kahneman_tversky_shortfall(gains: Tensor, *, alpha: float, loss_aversion: float) -> Tensor:
    """Returns 1 less Kahneman and Tversky's value of a gain.

    ``v(g) = g^alpha`` for gains, ``-lambda (-g)^alpha`` for losses. At 0 its slope is infinite for
    alpha below 1. Between -`CHORD` and `CHORD` it is therefore replaced by its chord, a straight
    line through 0 on each side: the function is continuous and still concave in gains and convex in
    losses, its slope at most ``lambda CHORD^(alpha - 1)``, and outside it is exact. At 0 the slope
    is that of gains.

    Args:
        gains: Rewards above the reference point [...].
        alpha: How slowly sensitivity diminishes, above 0 and at most 1.
        loss_aversion: lambda: how much more a loss counts than a gain of its size.

    References:
        Tversky & Kahneman (1992), Advances in Prospect Theory; in Human-Aware Loss Functions (2024)
        eq. 6.

    >>> kahneman_tversky_shortfall(torch.tensor([1.0, 0.0, -1.0]), alpha=0.88, loss_aversion=2.25)
    tensor([0.0000, 1.0000, 3.2500])
    """
    sizes = torch.where(gains >= 0, gains, -gains)
    powers = sizes.clamp(min=CHORD) ** alpha
    worth = torch.where(sizes < CHORD, sizes * CHORD ** (alpha - 1), powers)
    return 1 - torch.where(gains >= 0, worth, -loss_aversion * worth)
