"""The output of a loss whose examples all count once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from halo_core.loss import LossOutput

if TYPE_CHECKING:
    from torch import Tensor


def equally_weighted(
    losses: Tensor,
    rewards: Tensor | None = None,
    metrics: Mapping[str, tuple[Tensor, Tensor]] | None = None,
) -> LossOutput:
    """Returns the output in which every example has the weight 1.

    Args:
        losses: One value per example [E].
        rewards: Implied reward of each completion, detached here [B].
        metrics: Name to (sum, count).
    """
    rewards = None if rewards is None else rewards.detach()
    return LossOutput(losses, losses.detach().new_ones(losses.shape), rewards, metrics or {})
