"""The reference point agrees with its definition, and keeps the rules of halo."""

import statistics
from collections.abc import Sequence

import pytest
from halo_slow_median.decayed import Decayed

from halo_core import Observed, Pair
from halo_core.testing import check_reference_point

BATCHES = ([0.1, 0.2, 99.0], [1.0, 3.0], [-0.5, 0.5, 0.7])


def observed(logratios: Sequence[float]) -> Observed:
    count = len(logratios)
    return Observed(logratios, [1] * count, [Pair(i, i) for i in range(count)], count)


def test_it_keeps_the_rules() -> None:
    check_reference_point(Decayed())
    check_reference_point(Decayed(decay=0.0))


@pytest.mark.parametrize("decay", [0.0, 0.5, 0.9])
def test_it_is_the_weighted_mean_of_the_earlier_medians(decay: float) -> None:
    point, state = Decayed(decay=decay), {}
    medians: list[float] = []
    for batch in BATCHES:
        estimate = point.estimate(observed(batch), state)
        weights = [decay**age for age in range(len(medians))][::-1]
        weighted = sum(w * m for w, m in zip(weights, medians, strict=True))
        assert estimate.value == pytest.approx(weighted / sum(weights) if medians else 0.0)
        state = dict(estimate.state)
        medians.append(statistics.median(batch))


def test_an_empty_batch_changes_nothing_and_a_negative_mean_counts_as_0() -> None:
    point = Decayed()
    state = dict(point.estimate(observed([-4.0]), {}).state)
    assert point.point_from(state) == 0.0
    empty = point.estimate(observed([]), state)
    assert (empty.value, dict(empty.state)) == (0.0, state)
