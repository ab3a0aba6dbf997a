import math

import pytest

from halo_statistics import (
    interval_half_width,
    mcnemar_exact,
    paired_power,
    paired_sample_size,
    proportion,
    sample_size,
)


@pytest.mark.parametrize(
    ("trials", "points"), [(100, 8.6), (256, 5.3), (512, 3.7), (805, 3.0), (1691, 2.0)]
)
def test_half_widths_of_the_exact_interval_and_the_way_back(trials, points):
    width = interval_half_width(trials)
    assert round(100 * width, 1) == points
    assert sample_size(width) == trials
    share = proportion(trials / 2, trials)
    assert width == pytest.approx((share.high - share.low) / 2)


@pytest.mark.parametrize("rate", [0.5, 0.8, 0.03, 1.0])
@pytest.mark.parametrize("wanted", [0.2, 0.05, 0.017])
def test_one_comparison_less_is_too_few(wanted, rate):
    trials = sample_size(wanted, rate=rate)
    assert interval_half_width(trials, rate=rate) <= wanted
    assert interval_half_width(trials - 1, rate=rate) > wanted


@pytest.mark.parametrize("rate", [0.5, 0.9, 0.03])
def test_more_comparisons_are_never_wider_which_the_search_relies_on(rate):
    widths = [interval_half_width(trials, rate=rate) for trials in range(1, 600)]
    assert widths == sorted(widths, reverse=True)


def test_for_wins_alone_the_size_has_a_closed_form():
    # The exact interval of n wins begins at 0.05^(1 / n).
    assert sample_size(0.01, rate=1.0) == math.ceil(math.log(0.05) / math.log(1 - 0.02))


def test_narrower_surer_and_nearer_to_one_half_need_more():
    assert sample_size(0.02) > sample_size(0.04)
    assert sample_size(0.04, confidence=0.95) > sample_size(0.04)
    assert sample_size(0.04) > sample_size(0.04, rate=0.8) > sample_size(0.04, rate=0.95)
    assert sample_size(0.04, rate=0.2) == sample_size(0.04, rate=0.8)


@pytest.mark.parametrize(
    ("half_width", "options", "message"),
    [
        (3.7, {}, "expected a half-width between 0 and 0.5: 3.7"),
        (0, {}, "expected a half-width between 0 and 0.5: 0"),
        (0.1, {"rate": 2}, "expected trials >= 1 and a rate from 0 to 1: 1 at 2"),
        (0.1, {"confidence": 1}, "expected a confidence between 0 and 1: 1"),
    ],
)
def test_wrong_wishes_raise(half_width, options, message):
    with pytest.raises(ValueError, match=message):
        sample_size(half_width, **options)


def power_by_enumeration(prompts, difference, disagreement, level):
    """Every outcome with its probability, and the p-value of the test."""
    first, second = (disagreement + difference) / 2, (disagreement - difference) / 2
    total = 0.0
    for more in range(prompts + 1):
        for less in range(prompts + 1 - more):
            if mcnemar_exact(more, less) <= level:
                ways = math.comb(prompts, more) * math.comb(prompts - more, less)
                same = (1 - disagreement) ** (prompts - more - less)
                total += ways * first**more * second**less * same
    return total


@pytest.mark.parametrize(
    ("prompts", "difference", "disagreement", "level"),
    [(24, 0.3, 0.5, 0.05), (24, -0.3, 0.5, 0.05), (17, 0.2, 0.2, 0.1), (12, 0.5, 1.0, 0.05)],
)
def test_power_is_the_sum_over_all_outcomes(prompts, difference, disagreement, level):
    expected = power_by_enumeration(prompts, difference, disagreement, level)
    found = paired_power(prompts, difference, disagreement, level=level)
    assert found == pytest.approx(expected, abs=1e-9)


def test_without_a_difference_the_power_is_below_the_level():
    for prompts in (1, 10, 50, 300):
        assert paired_power(prompts, 0.0, 0.4, level=0.05) <= 0.05


@pytest.mark.parametrize(("difference", "disagreement"), [(0.1, 0.4), (-0.3, 0.5), (0.3, 0.3)])
def test_paired_size_reaches_the_power_and_one_prompt_less_does_not(difference, disagreement):
    prompts = paired_sample_size(difference, disagreement)
    assert paired_power(prompts, difference, disagreement, level=0.05) >= 0.8
    assert paired_power(prompts - 1, difference, disagreement, level=0.05) < 0.8


def test_paired_size_is_near_the_usual_formula_and_above_it():
    """Connor 1987, which approximates by normals."""
    reach = 1.959964 * math.sqrt(0.4) + 0.841621 * math.sqrt(0.4 - 0.1**2)
    formula = (reach / 0.1) ** 2
    assert formula < paired_sample_size(0.1, 0.4) < formula + 2 / 0.1


def test_finer_surer_and_noisier_differences_need_more_prompts():
    base = paired_sample_size(0.1, 0.4)
    assert paired_sample_size(0.05, 0.4) > 3 * base
    assert paired_sample_size(0.1, 0.4, power=0.9) > base
    assert paired_sample_size(0.1, 0.4, level=0.01) > base
    assert paired_sample_size(0.1, 0.2) < base
    assert paired_sample_size(-0.1, 0.4) == base


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((0.0, 0.4), {}, "expected a difference other than 0, a power and a level"),
        ((0.1, 0.4), {"power": 80}, "a power and a level between 0 and 1: 0.1, 80, 0.05"),
        ((0.1, 0.4), {"level": 0}, "a power and a level between 0 and 1: 0.1, 0.8, 0"),
        ((0.5, 0.4), {}, "no less than the difference: 0.4 with a difference of 0.5"),
        ((0.1, 1.4), {}, "above 0, at most 1 and no less than the difference: 1.4"),
    ],
)
def test_wrong_plans_raise(arguments, options, message):
    with pytest.raises(ValueError, match=message):
        paired_sample_size(*arguments, **options)


def test_power_of_nothing_raises():
    with pytest.raises(ValueError, match="expected prompts >= 1 and a level between 0 and 1: 0"):
        paired_power(0, 0.1, 0.4, level=0.05)
    with pytest.raises(ValueError, match="expected a disagreement above 0"):
        paired_power(5, 0.0, 0.0, level=0.05)
