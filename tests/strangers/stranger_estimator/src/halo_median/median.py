"""A reference point that does not depend on a few extreme completions."""

from __future__ import annotations

import statistics
from collections.abc import Mapping

from halo_core import Estimate, Observed, RefPointEstimator


class Median(RefPointEstimator):
    """The median log-ratio of the batch's own completions, or 0 if the median is negative."""

    observes = "own"

    def estimate(self, observed: Observed, state: Mapping[str, float]) -> Estimate:
        """Returns the median, in nats."""
        return Estimate(max(0.0, statistics.median(observed.logratios)))
