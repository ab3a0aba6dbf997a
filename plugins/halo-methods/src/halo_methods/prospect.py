"""The general human-aware loss: a weight times what a value function leaves to be desired."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from halo_methods.relative import gains_above_point


def prospect_loss(
    policy_logps: Tensor,
    ref_logps: Tensor,
    desirable: Tensor,
    reference_point: Tensor,
    shortfall: Callable[[Tensor], Tensor],
    *,
    beta: float,
    desirable_weight: float = 1.0,
    undesirable_weight: float = 1.0,
) -> Tensor:
    """Returns how far each completion falls short of a value of 1, under any value function.

    With ``r = policy logp - reference logp`` and ``z0`` the reference point, both in nats::

        g(y) = beta (r - z0)  where y is desirable,    w(y) = desirable_weight
        g(y) = beta (z0 - r)  where y is undesirable,  w(y) = undesirable_weight
        loss(y) = w(y) (1 - v(g(y)))

    Undesirable completions are mirrored at the reference point, as in KTO. With the logistic value
    function this is KTO. With the log-logistic one, and the rejected completion's log-ratio as the
    point of the chosen one, it is DPO plus 1.

    Args:
        policy_logps: Summed log-probability of each completion, nats [B].
        ref_logps: The same under the reference, no gradient [B].
        desirable: Whether each completion is desirable [B] bool.
        reference_point: What log-ratios are compared with, nats [] or [B]; no gradient flows
            through it.
        shortfall: ``1 - v`` of `halo_methods.value_functions` or another, element by element.
        beta: Scale from nats of log-ratio to reward, above 0.
        desirable_weight: lambda_D of the report, at least 0.
        undesirable_weight: lambda_U of the report, at least 0.

    Returns:
        One loss per completion [B].

    Raises:
        ValueError: When a shape is not as above, or `desirable` is not bool.

    References:
        Human-Aware Loss Functions (2024), eq. 7 with the value functions of section 4.

    >>> from halo_methods.value_functions import log_logistic_shortfall
    >>> logps, ref_logps = torch.tensor([-1.0, -3.0]), torch.tensor([-2.0, -4.0])
    >>> desirable, point = torch.tensor([True, False]), torch.tensor(0.5)
    >>> prospect_loss(logps, ref_logps, desirable, point, log_logistic_shortfall, beta=1.0)
    tensor([1.4741, 1.9741])
    """
    gains = gains_above_point(
        "prospect_loss", policy_logps, ref_logps, desirable, reference_point, beta
    )
    shortfalls = shortfall(gains)
    return torch.where(desirable, desirable_weight * shortfalls, undesirable_weight * shortfalls)
