import math

import pytest

from halo_statistics.significance import (
    fisher_exact,
    holm,
    mcnemar_exact,
    p_text,
    paired_counts,
)

ROUNDING = 1e-9


def test_fisher_s_p_value_is_the_sum_over_tables_that_are_no_more_likely():
    wins, trials = (7, 2), (10, 11)
    won, total = sum(wins), sum(trials)

    def chance(first):
        ways = math.comb(trials[0], first) * math.comb(trials[1], won - first)
        return ways / math.comb(total, won)

    tables = range(max(0, won - trials[1]), min(trials[0], won) + 1)
    limit = chance(wins[0]) * (1 + ROUNDING)
    expected = sum(chance(first) for first in tables if chance(first) <= limit)
    assert fisher_exact(wins, trials) == pytest.approx(expected, rel=ROUNDING)


def test_fisher_is_symmetric_and_one_for_equal_rates():
    assert fisher_exact((5, 9), (20, 30)) == pytest.approx(fisher_exact((9, 5), (30, 20)))
    assert fisher_exact((5, 5), (20, 20)) == 1.0


def test_more_wins_than_trials_raise():
    with pytest.raises(ValueError, match="0 <= wins <= trials"):
        fisher_exact((5, 3), (4, 4))


@pytest.mark.parametrize(("first", "second"), [(8, 1), (1, 8), (3, 3), (12, 0)])
def test_mcnemar_is_twice_the_tail_of_a_fair_coin(first, second):
    count, least = first + second, min(first, second)
    tail = sum(math.comb(count, k) for k in range(least + 1)) / 2**count
    assert mcnemar_exact(first, second) == pytest.approx(min(1.0, 2 * tail), rel=ROUNDING)


def test_mcnemar_agrees_with_statsmodels():
    from statsmodels.stats.contingency_tables import mcnemar

    table = [[30, 14], [5, 51]]
    assert mcnemar_exact(14, 5) == pytest.approx(mcnemar(table, exact=True).pvalue, rel=ROUNDING)


def test_models_that_never_differ_do_not_differ():
    assert mcnemar_exact(0, 0) == 1.0


def test_pairs_are_the_shared_prompts_and_failures_are_counted_as_asked():
    first = {"a": "win", "b": "tie", "c": "unscored", "d": "win", "e": "loss", "x": "win"}
    second = {"a": "loss", "b": "loss", "c": "win", "d": "win", "e": "tie", "y": "win"}
    assert paired_counts(first, second, failures_lost=False) == (2, 1, 4)
    assert paired_counts(first, second, failures_lost=True) == (2, 2, 5)


def test_holm_multiplies_in_order_never_decreases_and_stops_at_one():
    p_values = [0.02, 0.01, 0.6, 0.04]
    assert holm(p_values) == pytest.approx([0.06, 0.04, 0.6, 0.08])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []
    assert holm([0.03]) == [0.03]


@pytest.mark.parametrize(("p", "text"), [(0.00099, "<0.001"), (0.001, "0.001"), (1.0, "1.000")])
def test_small_p_values_are_bounded_not_rounded_to_zero(p, text):
    assert p_text(p) == text
