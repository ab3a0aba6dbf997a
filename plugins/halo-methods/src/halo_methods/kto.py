"""Kahneman-Tversky optimisation: what a desirable or undesirable completion costs a human."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from halo_methods.relative import gains_above_point


def kto_loss(
    policy_logps: Tensor,
    ref_logps: Tensor,
    desirable: Tensor,
    reference_point: Tensor,
    *,
    beta: float,
    desirable_weight: float = 1.0,
    undesirable_weight: float = 1.0,
) -> Tensor:
    """Returns how far each completion falls short of the most a human could value it.

    With ``r = policy logp - reference logp`` and ``z0`` the reference point, both in nats::

        v(y) = sigmoid(beta (r - z0))  where y is desirable,    w(y) = desirable_weight
        v(y) = sigmoid(beta (z0 - r))  where y is undesirable,  w(y) = undesirable_weight
        loss(y) = w(y) (1 - v(y))

    beta scales the reference point too. The weights lie inside the loss, so the trainer counts
    every example once: a mean over examples, not over their weights.

    Args:
        policy_logps: Summed log-probability of each completion, nats [B].
        ref_logps: The same under the reference, no gradient [B].
        desirable: Whether each completion is desirable [B] bool.
        reference_point: Estimate of KL(policy || reference), nats [] or [B]. No gradient flows
            through it: it only says how saturated the loss is.
        beta: Scale from nats of log-ratio to reward, above 0.
        desirable_weight: lambda_D of the report, at least 0.
        undesirable_weight: lambda_U of the report, at least 0. For n_D desirable and n_U
            undesirable examples, lambda_D n_D / (lambda_U n_U) should lie in [1, 4/3].

    Returns:
        One loss per completion, from 0 to its weight [B].

    Raises:
        ValueError: When a shape is not as above, or `desirable` is not bool.

    References:
        Human-Aware Loss Functions (2024), eq. 7 and 8.

    The policy has raised both completions by 1 nat, where 0.5 would have been neutral: good for
    the desirable one, bad for the other.

    >>> from torch import tensor
    >>> logps, ref_logps, desirable = tensor([-1.0, -3.0]), tensor([-2.0, -4.0]), [True, False]
    >>> kto_loss(logps, ref_logps, tensor(desirable), tensor(0.5), beta=1.0)
    tensor([0.3775, 0.6225])
    """
    gains = gains_above_point(  # report eq. 8: g
        "kto_loss", policy_logps, ref_logps, desirable, reference_point, beta
    )
    shortfalls = torch.sigmoid(-gains)  # 1 - sigmoid(gains), exact where sigmoid rounds to 1
    return torch.where(  # report eq. 7, with the w of eq. 8
        desirable, desirable_weight * shortfalls, undesirable_weight * shortfalls
    )


def kto_log_sigmoid_loss(
    policy_logps: Tensor,
    ref_logps: Tensor,
    desirable: Tensor,
    reference_point: Tensor,
    *,
    beta: float,
    desirable_weight: float = 1.0,
    undesirable_weight: float = 1.0,
) -> Tensor:
    """Returns KTO's loss with ``-log v(y)`` in place of ``1 - v(y)``.

    The value function becomes ``log sigmoid``, DPO's, which is concave everywhere: a completion far
    on the wrong side of the reference point goes on pulling with its full weight, where KTO has
    given it up::

        loss(y) = -w(y) log v(y)    with the v and w of `kto_loss`

    Args:
        policy_logps: Summed log-probability of each completion, nats [B].
        ref_logps: The same under the reference, no gradient [B].
        desirable: Whether each completion is desirable [B] bool.
        reference_point: As for `kto_loss`, nats [] or [B]; no gradient flows through it.
        beta: Scale from nats of log-ratio to reward, above 0.
        desirable_weight: lambda_D of the report, at least 0.
        undesirable_weight: lambda_U of the report, at least 0.

    Returns:
        One loss per completion, at least 0 [B].

    Raises:
        ValueError: When a shape is not as above, or `desirable` is not bool.

    References:
        Human-Aware Loss Functions (2024), eq. 7 and 8, with the value function of its section 4
        for DPO.

    >>> from torch import tensor
    >>> logps, ref_logps, desirable = tensor([-1.0, -3.0]), tensor([-2.0, -4.0]), [True, False]
    >>> kto_log_sigmoid_loss(logps, ref_logps, tensor(desirable), tensor(0.5), beta=1.0)
    tensor([0.4741, 0.9741])
    """
    gains = gains_above_point(
        "kto_log_sigmoid_loss", policy_logps, ref_logps, desirable, reference_point, beta
    )
    surprises = -F.logsigmoid(gains)
    return torch.where(desirable, desirable_weight * surprises, undesirable_weight * surprises)
