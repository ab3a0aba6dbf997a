"""Pairs as a loss on binary feedback sees them: the chosen completion against its own pair."""

from __future__ import annotations

from dataclasses import replace

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
    return replace(batch.only(chosen), reference_point=point)
