import random

import pytest

from halo_statistics import calibration, proportion

ROUNDING = 1e-12


def test_bins_errors_and_brier_are_those_counted_by_hand():
    found = calibration([0.05, 0.15, 0.12, 0.95, 0.99, 1.0], [0, 0.5, 0, 1, 1, 0])
    assert [(b.low, b.high, b.n) for b in found.bins] == [(0, 0.1, 1), (0.1, 0.2, 2), (0.9, 1, 3)]
    assert [b.mean_preference for b in found.bins] == pytest.approx([0.05, 0.135, 0.98])
    assert [b.observed for b in found.bins] == [
        proportion(0, 1),
        proportion(0.5, 2),
        proportion(2, 3),
    ]
    gaps = [abs(0.05 - 0), abs(0.135 - 0.25), abs(0.98 - 2 / 3)]
    assert found.expected_error == pytest.approx((gaps[0] + 2 * gaps[1] + 3 * gaps[2]) / 6)
    squares = [0.05**2, 0.35**2, 0.12**2, 0.05**2, 0.01**2, 1.0]
    assert found.brier == pytest.approx(sum(squares) / 6)
    assert found.n == 6


def test_an_edge_belongs_to_the_bin_above_and_1_to_the_last():
    found = calibration([0.0, 0.5, 1.0], [0, 1, 1], bins=2)
    assert [(b.low, b.n) for b in found.bins] == [(0, 1), (0.5, 2)]


@pytest.mark.parametrize("bins", [1, 3, 7, 10, 49])
def test_every_edge_is_in_the_bin_that_begins_there(bins):
    edges = [place / bins for place in range(bins)]
    found = calibration(edges, [0] * bins, bins=bins)
    assert [(b.low, b.n) for b in found.bins] == [(edge, 1) for edge in edges]


def test_an_oracle_that_is_sure_has_no_error():
    found = calibration([0.0, 1.0, 1.0], [0, 1, 1])
    assert (found.expected_error, found.brier) == (0, 0)


def test_a_judge_that_never_knows_has_a_brier_score_of_one_quarter():
    found = calibration([0.5] * 4, [0, 1, 1, 0])
    assert (found.expected_error, found.brier) == (0, 0.25)


def test_honest_certainty_is_calibrated_and_exaggerated_certainty_is_not():
    draw = random.Random(8)
    chances = [draw.random() for _ in range(20_000)]
    outcomes = [float(draw.random() < chance) for chance in chances]
    honest = calibration(chances, outcomes)
    sure = calibration([0.5 + (chance > 0.5) - 0.5 for chance in chances], outcomes)
    assert honest.expected_error < 0.02
    assert sure.expected_error == pytest.approx(0.25, abs=0.02)
    assert honest.brier == pytest.approx(1 / 6, abs=0.005)  # the mean of p (1 - p)
    assert all(b.observed.low < b.mean_preference < b.observed.high for b in honest.bins[::9])


def test_it_is_the_same_seen_from_the_other_text():
    preferences, outcomes = [0.13, 0.71, 0.94, 0.36], [0, 1, 0.5, 1]
    here = calibration(preferences, outcomes)
    there = calibration([1 - p for p in preferences], [1 - o for o in outcomes])
    assert there.brier == pytest.approx(here.brier)
    assert there.expected_error == pytest.approx(here.expected_error)


@pytest.mark.parametrize(
    ("preferences", "outcomes", "bins", "message"),
    [
        ([], [], 10, "an outcome for each of at least one preference: 0 preferences, 0 outcomes"),
        ([0.5], [1, 0], 10, "1 preferences, 2 outcomes"),
        ([50], [1], 10, "expected preferences and outcomes between 0 and 1: 50"),
        ([0.5], [-1], 10, "expected preferences and outcomes between 0 and 1: -1"),
        ([float("nan")], [1], 10, "between 0 and 1: nan"),
        ([0.5], [1], 0, "expected at least one bin: 0"),
    ],
)
def test_wrong_input_raises(preferences, outcomes, bins, message):
    with pytest.raises(ValueError, match=message):
        calibration(preferences, outcomes, bins)
