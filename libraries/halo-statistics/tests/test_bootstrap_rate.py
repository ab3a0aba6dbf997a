import itertools
import math

import pytest

from halo_statistics import bootstrap_rate, clustered_rate, proportion
from halo_statistics.bootstrap import constant_ends

NOISE = 0.006
"""Largest difference of an end, from 9999 resamples of 200 points, from its limit."""


def test_the_same_seed_gives_the_same_interval_and_another_one_nearly():
    points = [(37 * k % 200) / 199 for k in range(200)]
    first, again, other = (bootstrap_rate(points, seed=seed) for seed in (3, 3, 4))
    assert first == again
    assert first != other
    assert (first.low, first.high) == pytest.approx((other.low, other.high), abs=NOISE)


def test_large_counts_give_about_the_normal_interval():
    points = [1.0] * 120 + [0.0] * 80
    share = bootstrap_rate(points)
    reach = 1.6449 * (0.6 * 0.4 / 200) ** 0.5
    assert (share.low, share.high) == pytest.approx((0.6 - reach, 0.6 + reach), abs=NOISE)
    assert (share.points, share.trials, share.rate) == (120, 200, 0.6)


def test_whole_clusters_are_drawn():
    points = [1.0] * 60 + [0.0] * 40
    alone = bootstrap_rate(points)
    copies = bootstrap_rate(points * 4, clusters=[*range(100)] * 4)
    taken_for_new = bootstrap_rate(points * 4)
    assert (copies.low, copies.high) == pytest.approx((alone.low, alone.high), abs=NOISE)
    assert taken_for_new.high - taken_for_new.low < 0.6 * (alone.high - alone.low)


def test_clusters_of_different_sizes_weigh_by_their_verdicts():
    points, clusters = [1, 1, 1, 0] * 20, ["a", "a", "a", "b"] * 20
    clusters = [f"{name}{k // 4}" for k, name in enumerate(clusters)]
    share = bootstrap_rate(points, clusters=clusters)
    assert share.rate == 0.75
    robust = clustered_rate(points, clusters)
    assert (share.low, share.high) == pytest.approx((robust.low, robust.high), abs=0.03)


@pytest.mark.parametrize(("point", "count"), [(0, 1), (1, 1), (1, 20), (0, 300)])
def test_wins_alone_and_losses_alone_have_the_exact_interval(point, count):
    share, exact = bootstrap_rate([point] * count), proportion(point * count, count)
    assert (share.low, share.high) == pytest.approx((exact.low, exact.high), abs=1e-12)


def test_ties_alone_are_not_certain():
    share = bootstrap_rate([0.5] * 10)
    most = 1 - 0.05 ** (1 / 10)  # share of other results that is still possible
    assert (share.low, share.high) == pytest.approx((0.5 - most / 2, 0.5 + most / 2))


def test_clusters_with_the_same_mean_count_as_one_each():
    share = bootstrap_rate([1, 0] * 8, clusters=[k // 2 for k in range(16)])
    assert (share.low, share.high) == constant_ends(0.5, 8, (0, 1), 0.9)


def test_every_small_outcome_has_an_interval_around_its_rate():
    for count in range(1, 6):
        for points in itertools.combinations_with_replacement([0, 0.5, 1], count):
            share = bootstrap_rate(points, resamples=99)
            assert 0 <= share.low <= share.rate <= share.high <= 1, points


def test_it_covers_as_often_as_it_claims_on_average_over_truths():
    """Summed over all outcomes of fifty comparisons."""
    shares = [bootstrap_rate([1.0] * k + [0.0] * (50 - k), resamples=999) for k in range(51)]

    def coverage(truth):
        chances = (math.comb(50, k) * truth**k * (1 - truth) ** (50 - k) for k in range(51))
        return sum(c for c, s in zip(chances, shares, strict=True) if s.low <= truth <= s.high)

    found = [coverage(k / 200 + 0.0003) for k in range(2, 198)]
    assert sum(found) / len(found) == pytest.approx(0.91, abs=0.015)
    assert min(found) > 0.84


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"resamples": 0}, "expected resamples >= 1 and a seed >= 0: 0 resamples, seed 0"),
        ({"seed": -1}, "expected resamples >= 1 and a seed >= 0: 9999 resamples, seed -1"),
        ({"confidence": 90}, "expected a confidence between 0 and 1: 90"),
        ({"clusters": ["a"]}, "expected a cluster for each verdict: 2 points, 1 clusters"),
    ],
)
def test_wrong_options_raise(options, message):
    with pytest.raises(ValueError, match=message):
        bootstrap_rate([1, 0], **options)
