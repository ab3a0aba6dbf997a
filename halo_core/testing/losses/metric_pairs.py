"""Checks the metrics (sum, count) of a loss or of a reference point."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from halo_core.guarded.loss_calls import is_tensor, wrong_metrics
from halo_core.loss import Loss, LossOutput
from halo_core.testing.component import expect

_NAME = re.compile(r"[^\s/]+(/[^\s/]+)+")


def wrong_metric(metrics: Mapping[str, Any]) -> str:
    """Returns what is wrong with metrics that are pairs of numbers; "" if nothing is.

    A name has parts between slashes, as in ``section/name``: a tracker makes a chart or a folder
    of each part. A count of 0 means that there was nothing to count, so the sum is 0 too.

    Args:
        metrics: Pairs (sum, count) by name, each a number or a tensor [].
    """
    for name, pair in metrics.items():
        if not (name.isprintable() and _NAME.fullmatch(name)):
            return (
                f"it names a metric {name!r}; expected the form section/name, of printable "
                "characters without blanks, as in 'rewards/margin'"
            )
        numbers = [each.item() if is_tensor(each) else each for each in pair]
        if not all(isinstance(each, int | float) and math.isfinite(each) for each in numbers):
            return f"the metric {name!r} has the sum and count {pair!r}; expected finite numbers"
        total, count = numbers
        if count < 0 or (count == 0 and total != 0):
            return (
                f"the metric {name!r} has the sum {total!r} and the count {count!r}; expected a "
                "count above 0, because halo logs sum / count, or 0 for both if there was nothing "
                "to count"
            )
    return ""


def metrics_of(loss: Loss, output: LossOutput) -> Mapping[str, tuple[Any, Any]]:
    """Returns the metrics of an output.

    Raises:
        AssertionError: When they are not pairs (sum, count).
    """
    wrong = wrong_metrics(output.metrics)
    expect(wrong is None, loss, f"it {wrong}")
    return output.metrics


__all__ = ["metrics_of", "wrong_metric"]
