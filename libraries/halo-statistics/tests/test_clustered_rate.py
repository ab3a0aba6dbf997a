import math
import random

import pytest

from halo_statistics import clustered_rate, proportion, standard_error

ROUNDING = 1e-12


@pytest.mark.parametrize("points", [[1], [1, 1, 1], [0, 0], [1, 0, 0.5, 1, 1, 0], [0.5] * 4])
def test_one_verdict_per_prompt_gives_the_plain_interval(points):
    share = clustered_rate(points, range(len(points)))
    plain = proportion(sum(points), len(points))
    assert (share.low, share.high) == pytest.approx((plain.low, plain.high), abs=ROUNDING)
    assert (share.points, share.trials, share.rate) == (plain.points, plain.trials, plain.rate)


def test_the_interval_is_the_exact_one_at_the_effective_number():
    """Recomputed by hand: three clusters of two, points 1 1, 1 0, 0 0."""
    points, clusters = [1, 1, 1, 0, 0, 0], ["a", "a", "b", "b", "c", "c"]
    clustered = 3 / 2 * (1**2 + 0**2 + 1**2) / 36
    independent = 6 / 5 * (6 * 0.25) / 36
    student = {5: 2.015048372669157, 2: 2.919985580353725}  # at 95 %
    effective = 6 * independent / clustered * (student[5] / student[2]) ** 2
    from scipy.stats import beta

    share = clustered_rate(points, clusters)
    half = effective / 2
    assert share.low == pytest.approx(beta.ppf(0.05, half, half + 1), abs=1e-9)
    assert share.high == pytest.approx(beta.ppf(0.95, half + 1, half), abs=1e-9)


def test_copies_of_verdicts_say_nothing_new():
    points = [1, 1, 0, 1, 0, 1, 1, 0, 0, 1, 1, 1]
    once = clustered_rate(points, range(12))
    thrice = clustered_rate(points * 3, [*range(12)] * 3)
    assert thrice.rate == once.rate
    assert thrice.trials == 36
    # The effective number is the number of prompts, reduced because Student's t is larger.
    assert thrice.low <= once.low
    assert thrice.high >= once.high
    assert thrice.high - thrice.low == pytest.approx(once.high - once.low, rel=0.1)


@pytest.mark.parametrize("point", [0, 1])
def test_where_all_points_are_equal_a_cluster_counts_as_one(point):
    share = clustered_rate([point] * 12, [0, 1, 2, 3] * 3)
    plain = proportion(4 * point, 4)
    assert (share.low, share.high) == pytest.approx((plain.low, plain.high), abs=ROUNDING)


def test_a_single_prompt_is_a_single_trial():
    share = clustered_rate([1, 0, 1, 1], ["a"] * 4)
    assert share.rate == 0.75
    assert share.low < 0.1
    assert share.high > 0.95


def test_verdicts_that_offset_each_other_are_not_taken_for_more_than_there_are():
    clusters = [k // 2 for k in range(20)]
    for points in ([1, 0] * 10, [1, 0] * 9 + [1, 1]):
        share, plain = clustered_rate(points, clusters), proportion(sum(points), 20)
        assert (share.low, share.high) == pytest.approx((plain.low, plain.high), abs=ROUNDING)


def test_neither_order_nor_names_of_clusters_matter():
    points, clusters = [1, 0.5, 0, 1, 1, 0], ["a", "a", "b", "b", "b", "c"]
    shuffled = [4, 0, 5, 2, 1, 3]
    share = clustered_rate(points, clusters)
    again = clustered_rate([points[k] for k in shuffled], [ord(clusters[k]) for k in shuffled])
    assert (again.low, again.high) == pytest.approx((share.low, share.high), abs=ROUNDING)


def test_it_covers_where_the_plain_interval_does_not():
    """Prompts differ in difficulty, beta(1.5, 1); each has five verdicts."""
    draw, truth, hits = random.Random(5), 0.6, {"clustered": 0, "plain": 0}
    for _ in range(400):
        points, clusters = [], []
        for prompt in range(60):
            chance = draw.betavariate(1.5, 1)
            points += [float(draw.random() < chance) for _ in range(5)]
            clusters += [prompt] * 5
        clustered, plain = clustered_rate(points, clusters), proportion(sum(points), len(points))
        hits["clustered"] += clustered.low <= truth <= clustered.high
        hits["plain"] += plain.low <= truth <= plain.high
    assert hits["clustered"] / 400 >= 0.88
    assert hits["plain"] / 400 < 0.8


def test_standard_error_is_that_of_a_mean_and_that_of_cluster_sums():
    points = [1, 0.5, 0, 1, 1, 0]
    mean = sum(points) / 6
    alone = math.sqrt(sum((p - mean) ** 2 for p in points) / 5 / 6)
    assert standard_error(points) == pytest.approx(alone, abs=ROUNDING)
    sums = [1 + 0.5 - 2 * mean, 0 + 1 + 1 - 3 * mean, 0 - mean]
    clustered = math.sqrt(1.5 * sum(s * s for s in sums)) / 6
    assert standard_error(points, ["a", "a", "b", "b", "b", "c"]) == pytest.approx(clustered)


@pytest.mark.slow
def test_standard_error_agrees_with_statsmodels():
    import numpy as np
    from statsmodels.api import OLS

    points, clusters = [1, 0.5, 0, 1, 1, 0, 0, 1], [0, 0, 1, 1, 1, 2, 3, 3]
    model = OLS(points, np.ones(8))
    fitted = model.fit(cov_type="cluster", cov_kwds={"groups": clusters})
    # Its correction is G / (G - 1) * (n - 1) / (n - k), and the mean is k = 1 parameter.
    assert standard_error(points, clusters) == pytest.approx(fitted.bse[0])


@pytest.mark.parametrize(
    ("points", "clusters", "message"),
    [
        ([], [], "expected the points of at least one comparison: got none"),
        ([1, 0], ["a"], "expected a cluster for each verdict: 2 points, 1 clusters"),
        ([1, 2], ["a", "b"], r"expected points from 0 \(loss\) to 1 \(win\): 2. Leave out what is"),
        ([math.nan], ["a"], r"expected points from 0 \(loss\) to 1 \(win\): nan"),
    ],
)
def test_wrong_input_raises(points, clusters, message):
    with pytest.raises(ValueError, match=message):
        clustered_rate(points, clusters)


def test_one_cluster_has_no_standard_error():
    with pytest.raises(ValueError, match="at least two clusters, to see how they differ: got 1"):
        standard_error([1, 0], ["a", "a"])
