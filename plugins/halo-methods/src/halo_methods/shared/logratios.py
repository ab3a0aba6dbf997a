"""From loss batches to log-ratios, the difference between policy and reference.

The first functions take from a `LossBatch` the arguments of the losses' pure functions, in their
order. The others are pure functions too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from halo_core.loss import LossBatch
from halo_methods.shared.shapes import check_completions, check_pairs

if TYPE_CHECKING:
    from torch import Tensor


def logps_of_pairs(batch: LossBatch) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Returns the first four arguments of a loss that compares pairs with the reference.

    Returns:
        Log-probabilities of chosen and of rejected completions under the policy, then the same
        under the reference, nats, each [P].
    """
    return *batch.of_pairs(batch.policy_logps), *batch.of_pairs(batch.reference_logps)


def logps_and_lengths_of_pairs(batch: LossBatch) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Returns the first four arguments of a loss that uses means over tokens and no reference.

    Returns:
        Log-probabilities of chosen and of rejected completions, nats, then the tokens of each, all
        [P].
    """
    chosen, rejected = batch.chosen, batch.rejected
    return chosen.policy_logps, rejected.policy_logps, chosen.lengths, rejected.lengths


def relative_to_point(batch: LossBatch, loss: str) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Returns the first four arguments of a loss that has a reference point.

    The pure functions detach the point, as the report does. But a point from within each pair [B]
    must keep its gradient. So it is moved into the value that the policy is compared with,
    ``r - z = logp - (ref_logp + z)``, and the returned point is 0.

    Args:
        batch: The batch of the loss.
        loss: Name of the loss, for the message.

    Returns:
        Log-probabilities of policy and reference [B], desirable [B], and the point, in nats.

    Raises:
        ValueError: When the batch has no reference point.
    """
    point = batch.reference_point
    if point is None:
        raise ValueError(f"{loss} needs a reference point, and the batch has none")
    if point.ndim == 0:
        return batch.policy_logps, batch.reference_logps, batch.desirable, point
    nothing = point.new_zeros(())
    return batch.policy_logps, batch.reference_logps + point, batch.desirable, nothing


def pair_logratios(
    function: str,
    policy_chosen_logps: Tensor,
    policy_rejected_logps: Tensor,
    ref_chosen_logps: Tensor,
    ref_rejected_logps: Tensor,
) -> tuple[Tensor, Tensor]:
    """Returns policy minus reference log-probability of the chosen and of the rejected completions.

    Args:
        function: Name of the calling function, for the message.
        policy_chosen_logps: Log-probability of each chosen completion, nats [P].
        policy_rejected_logps: Log-probability of each rejected completion, nats [P].
        ref_chosen_logps: `policy_chosen_logps` under the reference [P].
        ref_rejected_logps: `policy_rejected_logps` under the reference [P].

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
        ref_logps: Summed log-probability of each completion under the reference [B].
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
