"""Log-probabilities relative to a reference point, whether a gradient flows through it or not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from halo_core.loss import LossBatch

if TYPE_CHECKING:
    from torch import Tensor


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

    from halo_methods.shapes import check_completions

    check_completions(function, policy_logps, ref_logps, desirable, reference_point)
    rewards_above_point = beta * (policy_logps - ref_logps - reference_point.detach())
    return torch.where(desirable, rewards_above_point, -rewards_above_point)


def relative_to_point(batch: LossBatch, loss: str) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Returns the first four arguments of a loss that has a reference point.

    The pure functions detach the point, as the report does. A point from within each pair [B] is
    differentiated, though. It is then made a part of what the policy is compared with,
    ``r - z = logp - (ref_logp + z)``, and what is left of the point is 0.

    Args:
        batch: What the loss sees.
        loss: Its name, for the message.

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
