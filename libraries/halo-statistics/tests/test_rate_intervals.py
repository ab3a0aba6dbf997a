import math
from itertools import product

import pytest

from halo_statistics import WinRate, bootstrap_rate, proportion, win_rate

ROUNDING = 1e-12
CLAIMED = 0.9


@pytest.mark.parametrize("confidence", [0.5, 0.9, 0.99])
@pytest.mark.parametrize(("points", "trials"), [(0, 7), (3, 7), (7, 7), (1, 1), (11.5, 20)])
def test_wilson_agrees_with_statsmodels(points, trials, confidence):
    # Here, so that only the process that runs this test imports it.
    from statsmodels.stats.proportion import proportion_confint

    share = proportion(points, trials, confidence=confidence, method="wilson")
    expected = proportion_confint(points, trials, alpha=1 - confidence, method="wilson")
    assert (share.low, share.high) == pytest.approx(expected, abs=ROUNDING)


@pytest.mark.parametrize(("points", "trials"), [(3, 7), (340, 512), (10.5, 30)])
def test_wilson_s_ends_solve_the_equation_of_the_score_test(points, trials):
    share = proportion(points, trials, method="wilson")
    for end in (share.low, share.high):
        squared = (share.rate - end) ** 2 / (end * (1 - end) / trials)
        assert math.sqrt(squared) == pytest.approx(1.6448536269514722, abs=1e-9)


def test_wilson_s_ends_are_exactly_0_and_1_at_the_extremes():
    for trials in range(1, 400):
        assert proportion(0, trials, method="wilson").low == 0.0
        assert proportion(trials, trials, method="wilson").high == 1.0


@pytest.mark.parametrize("method", ["exact", "wilson"])
def test_losses_are_wins_seen_from_the_other_side(method):
    ours, theirs = (proportion(p, 20, method=method) for p in (6.5, 13.5))
    assert (ours.low, ours.high) == pytest.approx((1 - theirs.high, 1 - theirs.low), abs=ROUNDING)


@pytest.mark.parametrize("method", ["exact", "wilson"])
def test_intervals_hold_the_rate_grow_with_confidence_and_shrink_with_trials(method):
    for points in range(21):
        narrow, wide = (proportion(points, 20, confidence=c, method=method) for c in (0.5, 0.95))
        assert wide.low <= narrow.low <= narrow.rate <= narrow.high <= wide.high
        more = proportion(10 * points, 200, confidence=0.95, method=method)
        assert more.high - more.low < wide.high - wide.low


def coverage(method, trials, truth):
    """Returns how often the interval covers: a sum over all outcomes."""
    shares = [proportion(wins, trials, method=method) for wins in range(trials + 1)]
    chances = [math.comb(trials, k) * truth**k * (1 - truth) ** (trials - k) for k in range(51)]
    return sum(c for c, s in zip(chances, shares, strict=True) if s.low <= truth <= s.high)


def test_exact_covers_always_and_wilson_on_average():
    truths = [k / 200 for k in range(1, 200)]
    exact, wilson = ([coverage(m, 50, truth) for truth in truths] for m in ("exact", "wilson"))
    assert min(exact) >= CLAIMED
    assert min(wilson) < CLAIMED  # not for each truth
    assert sum(wilson) / len(wilson) == pytest.approx(CLAIMED, abs=0.01)
    assert sum(exact) / len(exact) > sum(wilson) / len(wilson) + 0.01


def test_an_unknown_method_is_named():
    with pytest.raises(ValueError, match="unknown method 'wald': expected 'exact' or 'wilson'"):
        proportion(1, 2, method="wald")


READINGS = ("main", "failures_lost", "ties_left_out", "ties_lost")


@pytest.mark.parametrize(("interval", "reading"), [*product(("wilson", "bootstrap"), READINGS)])
def test_every_reading_of_a_win_rate_has_the_interval_that_was_asked_for(interval, reading):
    counts = {"wins": 9, "losses": 5, "ties": 4, "unscored": 2}
    exact = getattr(WinRate(**counts), reading)
    other = getattr(WinRate(**counts, interval=interval), reading)
    assert (other.points, other.trials) == (exact.points, exact.trials)
    if interval == "wilson":
        assert other == proportion(exact.points, exact.trials, method="wilson")
    else:
        ties = 4 if reading in ("main", "failures_lost") else 0
        rest = exact.trials - 9 - ties
        assert other == bootstrap_rate([1.0] * 9 + [0.5] * ties + [0.0] * rest)


def test_results_are_counted_with_the_interval_and_the_confidence_asked_for():
    rate = win_rate(["win", "loss"], confidence=0.5, interval="wilson")
    assert rate.main == proportion(1, 2, confidence=0.5, method="wilson")
    with pytest.raises(ValueError, match="unknown interval 'wald': expected one of exact, wilson"):
        win_rate(["win"], interval="wald")
