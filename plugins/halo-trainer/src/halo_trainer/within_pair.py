"""Pairs as a loss on binary feedback sees them: the chosen completion against its own pair."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from halo_core.errors import PluginError
from halo_core.loss import LossBatch
from halo_core.reference_point import WithinPair


def chosen_against_pair(batch: LossBatch, estimator: WithinPair) -> LossBatch:
    """Returns the chosen completions of a batch of pairs, with a reference point for each.

    Args:
        batch: Pairs.
        estimator: Gives the points; a gradient flows through them.

    Raises:
        PluginError: When it gives another number of points than there are pairs.
    """
    chosen = batch.desirable
    ratios = batch.logratios
    point = estimator.within_pair(ratios[chosen], ratios[~chosen])
    pairs = int(chosen.sum())
    if tuple(point.shape) != (pairs,):
        raise PluginError(
            f"{type(estimator).__name__} gave points of the shape {tuple(point.shape)} for {pairs} "
            f"pairs; expected ({pairs},), one for each chosen completion",
            location=f"{type(estimator).__module__}.{type(estimator).__qualname__}",
        )
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
