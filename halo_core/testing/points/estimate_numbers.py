"""Checks the numbers of an estimate: the point, the state and the metrics."""

from __future__ import annotations

import math

from halo_core.guarded.loss_calls import wrong_metrics
from halo_core.reference_point import Estimate, RefPointEstimator
from halo_core.testing.component import expect
from halo_core.testing.losses.metric_pairs import wrong_metric


def check_numbers(estimator: RefPointEstimator, where: str, estimate: Estimate) -> None:
    """Checks that the point and the state of an estimate are finite, and its metrics valid.

    Args:
        estimator: The estimator.
        where: The step or the inputs, for the message.
        estimate: Its estimate.

    Raises:
        AssertionError: When they are not.
    """
    numbers = {"value": estimate.value}
    numbers |= {f"state[{key!r}]": value for key, value in estimate.state.items()}
    for key, number in numbers.items():
        expect(
            isinstance(number, int | float) and math.isfinite(number),
            estimator,
            f"{where}: {key} is {number!r}; expected a finite number",
        )
    wrong = wrong_metrics(estimate.metrics)
    expect(wrong is None, estimator, f"{where}: estimate() {wrong}")
    wrong = wrong_metric(estimate.metrics)
    expect(not wrong, estimator, f"{where}: {wrong}")


__all__ = ["check_numbers"]
