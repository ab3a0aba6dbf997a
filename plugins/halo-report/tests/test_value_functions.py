import math

import pytest

from halo_report.value_functions import dpo, kahneman_tversky, kto, rlhf, slic

ROUNDING = 1e-12
GAINS = [-30.0, -2.5, -1.0, -0.1, 0.0, 0.1, 1.0, 2.5, 30.0]


@pytest.mark.parametrize("gain", GAINS)
def test_figure_4_is_its_formulas(gain):
    assert rlhf(gain) == pytest.approx(1 / (1 + math.exp(-gain)), rel=ROUNDING)
    assert kto(gain) == rlhf(gain)
    assert dpo(gain) == pytest.approx(math.log(1 / (1 + math.exp(-gain))), rel=1e-2, abs=ROUNDING)
    assert slic(gain, beta=0.5) == min(0, gain - 0.5)


@pytest.mark.parametrize("gain", [0.0, 0.5, 1.0, 7.0])
def test_a_loss_of_money_weighs_two_and_a_quarter_times_the_gain(gain):
    assert kahneman_tversky(gain) == pytest.approx(gain**0.88)
    assert kahneman_tversky(-gain) == pytest.approx(-2.25 * kahneman_tversky(gain))


def test_parameters_of_the_human_value_function_are_used():
    assert kahneman_tversky(4.0, alpha=0.5) == 2.0
    assert kahneman_tversky(-4.0, alpha=0.5, loss_aversion=3.0) == -6.0


@pytest.mark.parametrize("function", [rlhf, kto, dpo, slic, kahneman_tversky])
def test_values_are_finite_floats_at_extremes(function):
    for gain in (-1e6, -745.0, 745.0, 1e6):
        value = function(gain)
        assert isinstance(value, float)
        assert math.isfinite(value)


def test_dpo_is_precise_where_the_logistic_rounds_to_one():
    assert dpo(50.0) == pytest.approx(-math.exp(-50.0), rel=ROUNDING)
    assert dpo(-800.0) == -800.0
