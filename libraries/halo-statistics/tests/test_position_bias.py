import itertools
import random

import pytest

from halo_statistics import mcnemar_exact, position_bias, proportion

A_JUDGE = [("A", "B")] * 5 + [("B", "A")] * 3 + [("tie", "tie")] * 2


def test_a_judge_of_texts_agrees_with_itself_and_gives_each_place_one_half():
    bias = position_bias(A_JUDGE)
    assert (bias.agreement, bias.flips, bias.n) == (1.0, 0, 10)
    assert (bias.first_favoured, bias.second_favoured, bias.p) == (0, 0, 1.0)
    assert bias.first_shown.rate == 0.5


@pytest.mark.parametrize(("place", "rate"), [("A", 1.0), ("B", 0.0)])
def test_a_judge_of_places_flips_always(place, rate):
    bias = position_bias([(place, place)] * 12)
    assert (bias.agreement, bias.flips) == (0.0, 12)
    assert bias.first_shown == proportion(12 * rate, 12)
    assert bias.p == mcnemar_exact(12, 0)


def test_half_ties_are_neither_agreement_nor_flips():
    bias = position_bias([("A", "tie"), ("tie", "A"), ("B", "tie"), ("A", "B")])
    assert (bias.agreement, bias.flips) == (0.25, 0)
    assert (bias.first_favoured, bias.second_favoured) == (2, 1)
    assert bias.first_shown.points == pytest.approx(0.75 + 0.75 + 0.25 + 0.5)


def test_every_pair_of_verdicts_is_as_the_table_says():
    for ab, ba in itertools.product(("A", "B", "tie"), repeat=2):
        bias = position_bias([(ab, ba)])
        turned = {"A": "B", "B": "A", "tie": "tie"}[ba]  # which text order BA prefers, as in AB
        assert bias.agreement == (ab == turned)
        assert bias.flips == (ab == ba != "tie")
        assert bias.first_favoured == ("A" in (ab, ba) and "B" not in (ab, ba))
        assert bias.second_favoured == ("B" in (ab, ba) and "A" not in (ab, ba))


def test_swapping_the_texts_changes_nothing_and_swapping_the_places_turns_it():
    verdicts = [("A", "B"), ("A", "A"), ("A", "tie"), ("B", "B"), ("A", "A")]
    bias = position_bias(verdicts)
    assert position_bias([(ba, ab) for ab, ba in verdicts]) == bias
    turned = {"A": "B", "B": "A", "tie": "tie"}
    other = position_bias([(turned[ab], turned[ba]) for ab, ba in verdicts])
    assert other.first_shown.rate == pytest.approx(1 - bias.first_shown.rate)
    assert (other.first_favoured, other.second_favoured) == (1, 3)
    assert other.p == bias.p


def test_a_known_bias_is_found_and_its_interval_covers():
    """On a third of the prompts, the judge prefers a position: the first in four of five cases."""
    draw, covered = random.Random(3), 0
    for _ in range(200):
        verdicts = []
        for _ in range(150):
            if draw.random() < 1 / 3:
                verdicts.append(("A", "A") if draw.random() < 0.8 else ("B", "B"))
            else:
                verdicts.append(draw.choice([("A", "B"), ("B", "A")]))
        bias = position_bias(verdicts)
        covered += bias.first_shown.low <= 0.6 <= bias.first_shown.high  # 1/2 + 1/3 (0.8 - 1/2)
        assert bias.p < 0.05
    assert covered / 200 > 0.9


@pytest.mark.parametrize(
    ("verdicts", "message"),
    [
        ([], "expected verdicts on at least one prompt: got none"),
        ([("A", "C")], "unknown winner 'C': expected 'A', 'B' or 'tie'"),
    ],
)
def test_wrong_verdicts_raise(verdicts, message):
    with pytest.raises(ValueError, match=message):
        position_bias(verdicts)
