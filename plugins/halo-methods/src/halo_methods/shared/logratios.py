"""How far the policy has moved from the reference: log-ratios of pairs, gains above a point."""

from __future__ import annotations

from typing import TYPE_CHECKING

from halo_methods.shared.shapes import check_completions, check_pairs

if TYPE_CHECKING:
    from torch import Tensor


def pair_logratios(
    function: str,
    policy_chosen_logps: Tensor,
    policy_rejected_logps: Tensor,
    ref_chosen_logps: Tensor,
    ref_rejected_logps: Tensor,
) -> tuple[Tensor, Tensor]:
    """Returns policy minus reference log-probability of the chosen and of the rejected completions.

    Args:
        function: Who asks, for the message.
        policy_chosen_logps: Log-probability of each chosen completion, nats [P].
        policy_rejected_logps: The same of each rejected completion [P].
        ref_chosen_logps: As `policy_chosen_logps` under the reference [P].
        ref_rejected_logps: As `policy_rejected_logps` under the reference [P].

    Returns:
        Two log-ratios per pair, nats [P] and [P].

    Raises:
        ValueError: When the shapes are not all [P].
    """
    check_pairs(
        function,
        policy_chosen_logps=policy_chosen_logps,
        policy_rejected_logps=policy_rejected_logps,
        ref_chosen_logps=ref_chosen_logps,
        ref_rejected_logps=ref_rejected_logps,
    )
    return policy_chosen_logps - ref_chosen_logps, policy_rejected_logps - ref_rejected_logps


def gains_above_point(
    function: str,
    policy_logps: Tensor,
    ref_logps: Tensor,
    desirable: Tensor,
    reference_point: Tensor,
    beta: float,
) -> Tensor:
    """Returns ``beta (r - z0)`` of desirable completions and ``beta (z0 - r)`` of the others [B].

    Args:
        function: The loss function, for messages.
        policy_logps: Summed log-probability of each completion, nats [B].
        ref_logps: The same under the reference [B].
        desirable: Whether each completion is desirable [B] bool.
        reference_point: z0, nats [] or [B]; no gradient flows through it.
        beta: Scale from nats of log-ratio to reward, above 0.

    Raises:
        ValueError: When a shape is not as above, or `desirable` is not bool.

    References:
        Human-Aware Loss Functions (2024), eq. 8.
    """
    import torch

    check_completions(function, policy_logps, ref_logps, desirable, reference_point)
    rewards_above_point = beta * (policy_logps - ref_logps - reference_point.detach())
    return torch.where(desirable, rewards_above_point, -rewards_above_point)
