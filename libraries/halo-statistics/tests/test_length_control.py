import math
import random
import statistics

import pytest

from halo_statistics import length_controlled_rate, proportion
from halo_statistics.length import RIDGE

ROUNDING = 1e-6


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def logit(p):
    return math.log(p / (1 - p))


def terms(lengths, baselines):
    gaps = [ours - theirs for ours, theirs in zip(lengths, baselines, strict=True)]
    return [math.tanh(gap / statistics.pstdev(gaps)) for gap in gaps]


def simulated(*, quality, preference, offset=0.0, count=400, seed=0):
    """Verdicts of a judge with a known preference for length; lengths differ by offset sd."""
    draw, lengths, baselines, points = random.Random(seed), [], [], []
    for _ in range(count):
        gap = draw.gauss(offset, 1)
        baselines.append(1000.0)
        lengths.append(1000 + 200 * gap)
        points.append(float(draw.random() < sigmoid(quality + preference * math.tanh(gap))))
    return points, lengths, baselines


POINTS = [1, 0.5, 0, 1, 1, 0, 1, 0]
LENGTHS = [30, 22, 8, 25, 12, 14, 40, 21]
BASELINES = [20, 20, 18, 20, 17, 20, 25, 20]


def test_the_fit_is_the_minimum_of_the_documented_objective():
    """Both derivatives vanish, in plain Python; the objective is convex."""
    found = length_controlled_rate(POINTS, LENGTHS, BASELINES)
    b, w = logit(found.rate), found.coefficient
    t = terms(LENGTHS, BASELINES)
    misses = [p - sigmoid(b + w * x) for p, x in zip(POINTS, t, strict=True)]
    assert sum(misses) / 8 == pytest.approx(0, abs=ROUNDING)
    by_term = sum(m * x for m, x in zip(misses, t, strict=True)) / 8
    assert by_term == pytest.approx(RIDGE * w, abs=ROUNDING)


def test_the_interval_is_that_of_the_sandwich_written_out():
    found = length_controlled_rate(POINTS, LENGTHS, BASELINES)
    b, w, t = logit(found.rate), found.coefficient, terms(LENGTHS, BASELINES)
    p = [sigmoid(b + w * x) for x in t]
    v = [chance * (1 - chance) for chance in p]
    m = [point - chance for point, chance in zip(POINTS, p, strict=True)]
    h = [sum(v), sum(a * x for a, x in zip(v, t, strict=True))]
    h.append(sum(a * x * x for a, x in zip(v, t, strict=True)) + 8 * RIDGE)
    det = h[0] * h[2] - h[1] ** 2
    row = (h[2] / det, -h[1] / det)  # first row of the inverse
    meat = sum((e * (row[0] + row[1] * x)) ** 2 for e, x in zip(m, t, strict=True))
    reach = 1.6448536269514722 * math.sqrt(meat * 8 / 6)
    assert logit(found.low) == pytest.approx(b - reach, abs=ROUNDING)
    assert logit(found.high) == pytest.approx(b + reach, abs=ROUNDING)


def test_with_hardly_a_penalty_it_is_the_fractional_logit_of_statsmodels():
    import numpy as np
    import statsmodels.api as sm

    points, lengths, baselines = simulated(quality=0.3, preference=1.0)
    points[::7] = [0.5] * len(points[::7])
    design = np.column_stack([np.ones(400), terms(lengths, baselines)])
    fitted = sm.GLM(np.array(points), design, family=sm.families.Binomial()).fit(cov_type="HC0")
    found = length_controlled_rate(points, lengths, baselines, ridge=1e-12)
    assert logit(found.rate) == pytest.approx(fitted.params[0], abs=ROUNDING)
    assert found.coefficient == pytest.approx(fitted.params[1], abs=ROUNDING)
    reach = 1.6448536269514722 * fitted.bse[0] * math.sqrt(400 / 398)
    assert logit(found.high) == pytest.approx(fitted.params[0] + reach, abs=ROUNDING)


@pytest.mark.parametrize("offset", [-1.0, 0.0, 1.0])
def test_a_preference_for_length_is_taken_out(offset):
    """The raw rate moves with the model's length; at least three quarters of this are removed."""
    found = length_controlled_rate(
        *simulated(quality=0.0, preference=1.5, offset=offset, count=20_000)
    )
    assert abs(found.raw - 0.5) > 0.15 if offset else abs(found.raw - 0.5) < 0.02
    assert abs(found.rate - 0.5) < max(0.015, abs(found.raw - 0.5) / 4)
    assert found.coefficient > 1


def test_one_model_prompted_to_be_concise_or_verbose_is_nearly_the_same_model():
    concise, verbose = (
        length_controlled_rate(*simulated(quality=0.4, preference=1.5, offset=o, count=5000))
        for o in (-1.0, 1.0)
    )
    assert verbose.raw - concise.raw > 0.3
    assert abs(verbose.rate - concise.rate) < (verbose.raw - concise.raw) / 4


def test_a_judge_without_a_preference_is_left_alone():
    found = length_controlled_rate(*simulated(quality=0.5, preference=0.0, count=5000))
    assert found.rate == pytest.approx(found.raw, abs=0.003)
    assert found.coefficient == pytest.approx(0, abs=0.1)


def test_it_covers_the_quality_about_as_often_as_it_claims():
    hits = 0
    for seed in range(300):
        data = simulated(quality=0.4, preference=1.0, offset=0.5, count=200, seed=seed)
        found = length_controlled_rate(*data)
        hits += found.low <= sigmoid(0.4) <= found.high
    assert hits / 300 == pytest.approx(0.9, abs=0.04)


def test_lengths_that_separate_wins_from_losses_leave_it_finite():
    points = [0.0] * 20 + [1.0] * 20
    found = length_controlled_rate(points, range(100, 140), [120] * 40)
    assert 0 < found.low < found.rate < found.high < 1
    assert 1 < found.coefficient < 50


def test_more_of_the_same_data_change_the_interval_and_not_the_rate():
    once = length_controlled_rate(POINTS, LENGTHS, BASELINES)
    often = length_controlled_rate(POINTS * 9, LENGTHS * 9, BASELINES * 9)
    assert often.rate == pytest.approx(once.rate, abs=ROUNDING)
    assert often.high - often.low < 0.4 * (once.high - once.low)


def test_a_heavier_penalty_draws_the_rate_towards_the_raw_one():
    data = simulated(quality=0.0, preference=2.0, offset=1.0)
    rates = [length_controlled_rate(*data, ridge=ridge) for ridge in (1e-9, 0.01, 0.1, 1, 1e6)]
    gaps = [found.raw - found.rate for found in rates]
    assert gaps == sorted(gaps, reverse=True)
    assert gaps[-1] == pytest.approx(0, abs=ROUNDING)


def test_seen_from_the_baseline_it_is_turned():
    here = length_controlled_rate(POINTS, LENGTHS, BASELINES)
    there = length_controlled_rate([1 - p for p in POINTS], BASELINES, LENGTHS)
    assert there.rate == pytest.approx(1 - here.rate, abs=ROUNDING)
    assert (1 - there.high, 1 - there.low) == pytest.approx((here.low, here.high), abs=ROUNDING)
    assert there.coefficient == pytest.approx(here.coefficient, abs=ROUNDING)


def test_the_unit_of_length_does_not_matter():
    here = length_controlled_rate(POINTS, LENGTHS, BASELINES)
    there = length_controlled_rate(POINTS, [4 * x for x in LENGTHS], [4 * x for x in BASELINES])
    assert there.rate == pytest.approx(here.rate, abs=ROUNDING)


@pytest.mark.parametrize(
    ("points", "lengths", "baselines"),
    [
        ([1, 0, 1], [5, 5, 5], [5, 5, 5]),
        ([1, 0, 1], [15, 25, 35], [10, 20, 30]),
        ([1, 1, 1], [5, 9, 7], [6, 6, 6]),
        ([0, 0, 0], [5, 9, 7], [6, 6, 6]),
        ([0.5, 0.5], [5, 9], [6, 6]),
        ([1], [5], [6]),
    ],
)
def test_where_nothing_can_be_learnt_of_length_the_rate_is_the_raw_one(points, lengths, baselines):
    found, plain = (
        length_controlled_rate(points, lengths, baselines),
        proportion(sum(points), len(points)),
    )
    assert (found.rate, found.raw, found.coefficient) == (plain.rate, plain.rate, 0)
    assert (found.low, found.high) == (plain.low, plain.high)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"confidence": 90}, "expected a confidence between 0 and 1: 90"),
        ({"ridge": 0}, "expected a ridge above 0: 0"),
        ({"ridge": math.nan}, "expected a ridge above 0: nan"),
    ],
)
def test_wrong_options_raise(options, message):
    with pytest.raises(ValueError, match=message):
        length_controlled_rate(POINTS, LENGTHS, BASELINES, **options)


def test_lengths_that_do_not_match_raise():
    with pytest.raises(ValueError, match="8 points, 7 lengths, 8 of baselines"):
        length_controlled_rate(POINTS, LENGTHS[1:], BASELINES)
