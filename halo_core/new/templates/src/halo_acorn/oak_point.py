"""A reference point that follows the log-ratios of earlier steps."""

from __future__ import annotations

import math
from collections.abc import Mapping

from pydantic import Field

from halo_core import Estimate, Observed, RefPointEstimator


class OakPoint(RefPointEstimator):
    """A moving average of the mean log-ratios of earlier steps, in nats; 0 if it is negative.

    The average is ``total / weight``. Both are sums over the earlier steps, in which each step
    counts `decay` times as much as the next one. At the first step, the point is 0.
    """

    observes = "own"
    lagged = True

    decay: float = Field(
        default=0.9, ge=0, lt=1, description="Weight of a step, as a share of that of the next one."
    )

    def estimate(self, observed: Observed, state: Mapping[str, float]) -> Estimate:
        """Returns the point of the earlier steps, and the state with this step."""
        point = self.point_from(state)
        if not observed.logratios:
            return Estimate(point, state)
        mean = math.fsum(observed.logratios) / len(observed.logratios)
        after = {
            "total": self.decay * state.get("total", 0.0) + mean,
            "weight": self.decay * state.get("weight", 0.0) + 1.0,
        }
        return Estimate(point, after)

    def point_from(self, state: Mapping[str, float]) -> float:
        """Returns the point that a state gives."""
        return max(0.0, state["total"] / state["weight"]) if state else 0.0
