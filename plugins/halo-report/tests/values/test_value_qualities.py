import math
import sys
from functools import partial

import pytest

from halo_core.errors import PluginError
from halo_report.values.qualities import check_qualities
from halo_report.values.sampled import sample_value
from halo_report.values.yardsticks import kahneman_tversky

SPAN = 4.0
CELL = SPAN / 400


def check(function, span=SPAN):
    return check_qualities(sample_value(function, span, "mine"), "mine")


def holds(function, span=SPAN):
    found = check(function, span)
    qualities = (found.reference_point, found.diminishing_sensitivity, found.loss_aversion)
    return tuple(quality.holds for quality in qualities)


def kto(gain):
    return 1.0 / (1.0 + math.exp(-gain))


def dpo(gain):
    return math.log(kto(gain))


def slic(gain, *, beta=1.0):
    return min(0.0, gain - beta)


def straight(gain):
    return 2.0 * gain + 1.0


def ipo(gain):
    return -((gain - 1.0) ** 2)


def exponential(gain):
    return math.exp(gain)


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (kahneman_tversky, ("yes", "yes", "yes")),
        (kto, ("yes", "yes", "no")),
        (dpo, ("partly", "partly", "yes")),
        (slic, ("partly", "partly", "partly")),
        (straight, ("no", "no", "no")),
        (ipo, ("partly", "partly", "yes")),
        (exponential, ("partly", "partly", "no")),
        (abs, ("yes", "no", "no")),
        (lambda gain: 3.0, ("no", "no", "no")),
        (lambda gain: 2.0 * gain if gain < 0 else gain, ("yes", "no", "yes")),
        (partial(kahneman_tversky, loss_aversion=1.0), ("yes", "yes", "no")),
        (partial(kahneman_tversky, loss_aversion=1.01), ("yes", "yes", "yes")),
        (partial(kahneman_tversky, loss_aversion=0.5), ("yes", "yes", "no")),
        (math.sinh, ("yes", "no", "no")),
        (lambda gain: math.tanh(gain - 1), ("partly", "partly", "no")),
        (lambda gain: math.tanh(gain + 1), ("partly", "partly", "yes")),
    ],
)
def test_qualities_of_known_functions(function, expected):
    assert holds(function) == expected


@pytest.mark.parametrize("span", [0.5, 1.0, 10.0])
@pytest.mark.parametrize("function", [kahneman_tversky, kto, dpo])
def test_smooth_functions_have_the_same_qualities_on_other_ranges(function, span):
    assert holds(function, span) == holds(function)


def test_a_value_with_an_offset_has_the_same_qualities():
    assert holds(lambda gain: 1000.0 + kto(gain)) == holds(kto)


def test_reasons_name_what_is_lacking():
    assert check(dpo).reference_point.why == (
        "the slope depends on the distance from it, yet nothing changes at 0"
    )
    assert check(dpo).diminishing_sensitivity.why == "concave in gains, concave in losses"
    assert check(slic).reference_point.why == "the slope changes at a gain of 1, not at 0"
    assert check(slic).diminishing_sensitivity.why == (
        "concave in gains, linear in losses (straight between kinks)"
    )
    assert check(slic).loss_aversion.why == (
        "steeper in losses at 75% of the distances, the same at the others"
    )
    assert check(kto).loss_aversion.why == "gains and losses of the same size weigh the same"
    assert check(kahneman_tversky).loss_aversion.why == (
        "a loss weighs 2.25 times as much as a gain of the same size"
    )


def test_the_gradient_is_that_of_the_closed_form():
    gradient = check(kto).gradient
    assert list(gradient) == [-4.0, -2.0, -0.8, 0.0, 0.8, 2.0, 4.0]
    for gain in (-2.0, -0.8, 0.0, 0.8, 2.0):
        assert gradient[gain] == pytest.approx(kto(gain) * (1 - kto(gain)), rel=1e-4)


def test_saturation_begins_where_the_slope_falls_to_a_tenth():
    root = math.log((1 + math.sqrt(0.9)) / (1 - math.sqrt(0.9)))  # sigmoid' = 0.1 / 4
    assert check(kto).saturates["gains"] == pytest.approx(root, abs=CELL)
    assert check(kto).saturates["losses"] == pytest.approx(root, abs=CELL)
    assert check(dpo).saturates == {"gains": pytest.approx(math.log(19), abs=CELL), "losses": None}
    assert check(slic).saturates == {"gains": pytest.approx(1.0, abs=CELL), "losses": None}
    assert check(straight).saturates == {"gains": None, "losses": None}


def test_a_gradient_that_grows_without_bound_is_noted():
    (note,) = check(kahneman_tversky).notes
    assert note.startswith("the slope grows without bound towards 0")
    assert check(partial(kahneman_tversky, alpha=1.0)).notes == ()


def test_a_value_that_falls_is_noted():
    assert check(ipo).notes == ("falls as the gain rises, between gains of 1 and 4",)


def test_values_that_are_not_finite_are_told_and_decide_nothing():
    def root(gain):
        return math.inf if gain < -1 else 1 / (gain - 2)

    found = check(root)
    assert found.diminishing_sensitivity.holds == "unknown"
    assert found.notes[0] == "not finite at 301 of 801 gains, the first at -4"
    assert check(lambda gain: math.nan).loss_aversion.holds == "unknown"
    assert check(lambda gain: math.nan).reference_point.holds == "unknown"


def test_an_overflow_is_a_value_that_is_not_finite():
    assert "not finite" in check(lambda gain: math.exp(1000 * gain)).notes[0]


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda gain: "much", r"the loss mine: value\(-4\) returned 'much'; expected a float"),
        (lambda gain: gain**0.5, r"the loss mine: value\(-4\) returned .*j\); expected a float"),
        (lambda gain: [][1], r"the loss mine: value\(-4\) raised IndexError: .*expected a number"),
        (lambda gain: sys.exit(0), r"the loss mine: value\(-4\) raised SystemExit: 0"),
    ],
)
def test_a_function_that_returns_no_number_is_its_plugin_s_fault(function, message):
    with pytest.raises(PluginError, match=message):
        check(function)
