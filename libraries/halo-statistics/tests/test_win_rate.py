import math
from itertools import product

import pytest

from halo_statistics import WinRate, proportion, rate_text, win_rate

PUBLISHED = 5e-5
"""The report's intervals are given to four digits."""
ROUNDING = 1e-12


@pytest.mark.parametrize(
    ("wins", "rate", "low", "high"),
    [(340, 0.1641, 0.1281, 0.1986), (265, 0.0176, -0.0197, 0.0547)],
)
def test_intervals_of_the_report_are_reproduced(wins, rate, low, high):
    share = proportion(wins, 512)
    assert share.rate - 0.5 == pytest.approx(rate, abs=PUBLISHED)
    assert share.low - 0.5 == pytest.approx(low, abs=PUBLISHED)
    assert share.high - 0.5 == pytest.approx(high, abs=PUBLISHED)


@pytest.mark.parametrize("confidence", [0.5, 0.9, 0.99])
@pytest.mark.parametrize(("wins", "trials"), [(0, 7), (3, 7), (7, 7), (1, 1), (119, 200)])
def test_interval_agrees_with_scipys_exact_binomial(wins, trials, confidence):
    from scipy.stats import binomtest

    share = proportion(wins, trials, confidence=confidence)
    expected = binomtest(wins, trials).proportion_ci(confidence, method="exact")
    assert (share.low, share.high) == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_half_a_point_lies_between_its_neighbours():
    below, half, above = (proportion(points, 20) for points in (11, 11.5, 12))
    assert below.low < half.low < above.low
    assert below.high < half.high < above.high


def test_interval_with_half_points_covers_at_least_as_often_as_it_claims():
    trials, chances = 12, [i / 10 for i in range(11)]
    shares = {points: proportion(points / 2, trials) for points in range(2 * trials + 1)}
    for win, tie in product(chances, chances):
        if win + tie > 1:
            continue
        truth = win + tie / 2
        covered = sum(
            _chance(wins, ties, trials, win, tie)
            for wins in range(trials + 1)
            for ties in range(trials + 1 - wins)
            if _covers(shares[2 * wins + ties], truth)
        )
        assert covered >= 0.9, (win, tie)


def _covers(share, truth):
    return share.low - ROUNDING <= truth <= share.high + ROUNDING


def _chance(wins, ties, trials, win, tie):
    losses = trials - wins - ties
    ways = math.comb(trials, wins) * math.comb(trials - wins, ties)
    return ways * win**wins * tie**ties * max(0.0, 1 - win - tie) ** losses


@pytest.mark.parametrize(("points", "trials"), [(1, 0), (-1, 3), (4, 3)])
def test_impossible_counts_raise(points, trials):
    with pytest.raises(ValueError, match="0 <= points <= trials"):
        proportion(points, trials)


def test_confidence_outside_its_range_raises():
    with pytest.raises(ValueError, match="between 0 and 1"):
        proportion(1, 2, confidence=90)


def test_readings_of_ties_and_failures_are_those_counted_by_hand():
    rate = win_rate(["win"] * 5 + ["loss"] * 2 + ["tie"] * 3 + ["unscored"] * 2)
    assert rate == WinRate(wins=5, losses=2, ties=3, unscored=2)
    assert (rate.main.points, rate.main.trials) == (6.5, 10)
    assert (rate.failures_lost.points, rate.failures_lost.trials) == (6.5, 12)
    assert (rate.ties_left_out.points, rate.ties_left_out.trials) == (5, 7)
    assert (rate.ties_lost.points, rate.ties_lost.trials) == (5, 10)


def test_an_outage_is_not_a_score():
    rate = win_rate(["unscored"] * 4)
    assert rate.main is None
    assert rate.ties_left_out is None
    assert rate.failures_lost.rate == 0


def test_ties_alone_are_one_half_and_have_no_reading_without_ties():
    rate = win_rate(["tie"] * 6)
    assert rate.main.rate == 0.5
    assert rate.ties_left_out is None


def test_unknown_result_raises():
    with pytest.raises(ValueError, match="unknown result 'draw'"):
        win_rate(["draw"])


def test_rate_text_shows_three_digits():
    assert rate_text(proportion(119, 200)) == "0.595 [0.535, 0.653]"
