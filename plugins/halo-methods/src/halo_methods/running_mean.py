"""A mean over steps, as the reference point of binary classifier optimisation."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

Running = Mapping[str, float]
"""``mean``, nats, and ``count``, the completions it is over; empty before the first step."""


def running_mean(state: Running, logratios: Sequence[float], *, decay: float | None) -> Running:
    """Returns the mean that takes in the log-ratios of one more step.

    ``mean + (of the step - mean) * share``, where the share is that of the step's completions in
    all so far, which makes it the mean of all; or ``1 - decay``, an exponential moving average that
    starts with the first step's mean.

    Args:
        state: What came back at the step before; empty at first.
        logratios: Policy minus reference log-probability of each completion of the step, nats.
        decay: Of the moving average, per step; None for the mean of all.

    References:
        Jung et al. (2024), Binary Classifier Optimization for Large Language Model Alignment: the
        reward shift delta.

    >>> running_mean({"mean": 1.0, "count": 2.0}, [4.0], decay=None)
    {'mean': 2.0, 'count': 3.0}
    >>> running_mean({"mean": 1.0, "count": 2.0}, [4.0], decay=0.5)
    {'mean': 2.5, 'count': 3.0}
    """
    if not logratios:
        return state
    of_step = math.fsum(logratios) / len(logratios)
    mean, before = state.get("mean", of_step), state.get("count", 0.0)
    count = before + len(logratios)
    share = len(logratios) / count if decay is None else 1 - decay
    return {"mean": mean + (of_step - mean) * share, "count": count}
