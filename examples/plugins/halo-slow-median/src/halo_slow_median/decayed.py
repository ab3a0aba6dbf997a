"""A reference point with state: the decayed mean of the medians of earlier batches."""

from __future__ import annotations

import statistics
from collections.abc import Mapping

from pydantic import Field

from halo_core import Estimate, Observed, RefPointEstimator


class Decayed(RefPointEstimator):
    """The decayed mean of the medians of earlier batches, or 0 if it is negative."""

    observes = "own"
    lagged = True

    decay: float = Field(
        default=0.9,
        ge=0,
        lt=1,
        description="Weight of the earlier batches at each step; 0 uses the last batch only.",
    )

    def estimate(self, observed: Observed, state: Mapping[str, float]) -> Estimate:
        """Returns the point before this batch, in nats, and the state with this batch.

        The state has the sums of a weighted mean, so that the first batches are not drawn to 0.
        """
        point = self.point_from(state)
        if not observed.logratios:
            return Estimate(point, dict(state))
        median = statistics.median(observed.logratios)
        after = {
            "sum": self.decay * state.get("sum", 0.0) + median,
            "weight": self.decay * state.get("weight", 0.0) + 1.0,
        }
        return Estimate(point, after, {"slow-median/batch": (median, 1.0)})

    def point_from(self, state: Mapping[str, float]) -> float:
        """Returns the mean of the batches in the state, in nats; 0 before the first one."""
        return max(0.0, state["sum"] / state["weight"]) if state else 0.0
