"""Takes from a `LossBatch` what the functions of losses want, in their order."""

from __future__ import annotations

from typing import TYPE_CHECKING

from halo_core.loss import LossBatch

if TYPE_CHECKING:
    from torch import Tensor


def logps_of_pairs(batch: LossBatch) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Returns the first four arguments of a loss that compares pairs with the reference.

    Returns:
        Log-probabilities of chosen and of rejected completions under the policy, then the same
        under the reference, nats, each [P].
    """
    return *by_side(batch, batch.policy_logps), *by_side(batch, batch.reference_logps)


def by_side(batch: LossBatch, of_each: Tensor) -> tuple[Tensor, Tensor]:
    """Returns what belongs to the chosen completions, and to the rejected ones, each [P]."""
    return of_each[batch.desirable], of_each[~batch.desirable]


def logps_and_lengths_of_pairs(batch: LossBatch) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Returns the first four arguments of a loss that takes means over tokens, and no reference.

    Returns:
        Log-probabilities of chosen and of rejected completions, nats, then the tokens of each, all
        [P].
    """
    chosen, rejected = batch.chosen, batch.rejected
    return chosen.policy_logps, rejected.policy_logps, chosen.lengths, rejected.lengths


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
