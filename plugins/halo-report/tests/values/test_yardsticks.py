import math

import pytest

from halo_report.values.declared import loss_value, named_values
from halo_report.values.yardsticks import figure_4, kahneman_tversky, yardsticks

ROUNDING = 1e-12
GAINS = [-30.0, -2.5, -1.0, -0.1, 0.0, 0.1, 1.0, 2.5, 30.0]


@pytest.mark.parametrize("gain", GAINS)
def test_figure_4_is_its_formulas(gain):
    rlhf, dpo, slic = [value.function(gain) for value in figure_4()]
    assert rlhf == pytest.approx(1 / (1 + math.exp(-gain)), rel=ROUNDING)
    assert dpo == pytest.approx(math.log(1 / (1 + math.exp(-gain))), rel=1e-2, abs=ROUNDING)
    assert slic == min(0, gain - 1)
    assert [value.label for value in figure_4()] == ["RLHF", "DPO", "SLiC"]


@pytest.mark.parametrize("gain", [0.0, 0.5, 1.0, 7.0])
def test_a_loss_of_money_weighs_two_and_a_quarter_times_the_gain(gain):
    assert kahneman_tversky(gain) == pytest.approx(gain**0.88)
    assert kahneman_tversky(-gain) == pytest.approx(-2.25 * kahneman_tversky(gain))


def test_parameters_of_the_human_value_function_are_used():
    assert kahneman_tversky(4.0, alpha=0.5) == 2.0
    assert kahneman_tversky(-4.0, alpha=0.5, loss_aversion=3.0) == -6.0


def test_the_human_value_function_is_that_of_the_loss_but_for_its_line_at_0():
    tree = {"use": "prospect", "value_function": "kahneman-tversky"}
    declared = loss_value("people", tree).function
    for gain in (-4.0, -0.5, -0.01, 0.01, 0.5, 4.0):
        assert declared(gain) == pytest.approx(kahneman_tversky(gain), rel=ROUNDING)
    assert declared(1e-4) < kahneman_tversky(1e-4)


@pytest.mark.parametrize("gain", [-1e6, -745.0, 745.0, 1e6])
def test_values_are_finite_floats_at_extremes(gain):
    for value in [kahneman_tversky(gain), *(each.function(gain) for each in figure_4())]:
        assert isinstance(value, float)
        assert math.isfinite(value)


def test_dpo_is_precise_where_the_logistic_rounds_to_one():
    _, dpo, _ = figure_4()
    assert dpo.function(50.0) == pytest.approx(-math.exp(-50.0), rel=ROUNDING)
    assert dpo.function(-800.0) == -800.0


def test_kto_is_a_yardstick_where_it_is_not_looked_at():
    assert [value.label for value in yardsticks(named_values(["dpo"], {}))] == [
        "Kahneman-Tversky",
        "KTO's sigmoid",
    ]
    assert [value.label for value in yardsticks(named_values(["kto"], {}))] == ["Kahneman-Tversky"]


def test_a_loss_that_is_not_installed_is_no_yardstick(monkeypatch):
    monkeypatch.setattr("halo_report.values.declared._resolve", lambda *arguments: None)
    assert figure_4() == []
    assert [value.label for value in yardsticks([])] == ["Kahneman-Tversky"]
