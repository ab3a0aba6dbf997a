"""Pairs as a loss on binary feedback sees them: the chosen completion against its own pair."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from halo_core.loss import LossBatch
from halo_core.reference_point import RefPointEstimator
from halo_core.reference_point_calls import points_within


def chosen_against_pair(batch: LossBatch, estimator: RefPointEstimator) -> LossBatch:
    """Returns the chosen completions of a batch of pairs, with a reference point for each.

    Args:
        batch: Pairs.
        estimator: One that observes each pair; a gradient flows through its points.

    Raises:
        PluginError: When it gives another number of points than there are pairs.
    """
    chosen = batch.desirable
    ratios = batch.logratios
    point = points_within(estimator, ratios[chosen], ratios[~chosen])
    kept = chosen[batch.sequence_index]
    return replace(
        batch,
        policy_token_logps=batch.policy_token_logps[kept],
        reference_token_logps=_kept(batch.reference_token_logps, kept),
        sequence_index=(chosen.cumsum(0) - 1)[batch.sequence_index[kept]],
        example_index=batch.example_index[chosen],
        desirable=chosen[chosen],
        reference_point=point,
        heads={name: value[_mask(value, kept, chosen)] for name, value in batch.heads.items()},
    )


def _kept(values: Tensor | None, kept: Tensor) -> Tensor | None:
    return None if values is None else values[kept]


def _mask(values: Tensor, kept: Tensor, chosen: Tensor) -> Tensor:
    return kept if len(values) == len(kept) else chosen
