import math
import random

import pytest

from halo_statistics import (
    bootstrap_rate,
    mcnemar_exact,
    paired_difference,
    proportion,
    win_rate,
)

NOISE = 0.006


def models(first, second):
    """Returns points by prompt from strings of w, t and l."""
    worth = {"w": 1.0, "t": 0.5, "l": 0.0}
    return (
        {f"p{k}": worth[c] for k, c in enumerate(first)},
        {f"p{k}": worth[c] for k, c in enumerate(second)},
    )


def test_counts_and_difference_are_those_counted_by_hand():
    found = paired_difference(*models("wwwtll", "lwtlwl"))
    assert found.difference == pytest.approx((1 + 0 + 0.5 + 0.5 - 1 + 0) / 6)
    assert (found.first_better, found.second_better, found.n) == (3, 1, 6)
    assert found.p == mcnemar_exact(3, 1)


def test_only_shared_prompts_count():
    first, second = models("wwll", "lwll")
    alone = paired_difference(first, second)
    assert paired_difference(first | {"x": 1.0}, second | {"y": 1.0, "z": 0.0}) == alone


def test_the_other_way_round_everything_is_turned():
    first, second = models("wwwtll" * 20, "lwtlww" * 20)
    here, there = paired_difference(first, second), paired_difference(second, first)
    assert there.difference == -here.difference
    assert (there.first_better, there.second_better) == (here.second_better, here.first_better)
    assert there.p == here.p
    assert (-there.high, -there.low) == pytest.approx((here.low, here.high), abs=NOISE)


def test_the_order_of_the_prompts_does_not_matter():
    first = {f"p{k}": (37 * k % 61) / 60 for k in range(61)}  # weighted verdicts, all different
    second = {f"p{k}": (23 * k % 61) / 60 for k in range(61)}
    turned = dict(reversed(first.items()))
    assert paired_difference(turned, second) == paired_difference(first, second)


def test_models_that_share_their_luck_have_a_shorter_interval_than_two_of_their_own():
    draw = random.Random(1)
    easy = [draw.random() for _ in range(300)]
    first = {f"p{k}": float(e > 0.4) for k, e in enumerate(easy)}
    second = {f"p{k}": float(e > 0.5) for k, e in enumerate(easy)}
    found = paired_difference(first, second)
    apart = [bootstrap_rate(list(model.values())) for model in (first, second)]
    assert found.high - found.low < 0.5 * sum(share.high - share.low for share in apart)
    assert found.low > 0
    assert found.p < 0.001


def test_large_counts_give_about_the_normal_interval():
    first, second = models("w" * 60 + "l" * 140, "l" * 60 + "w" * 30 + "l" * 110)
    found = paired_difference(first, second)
    reach = 1.6449 * ((90 / 200 - 0.15**2) / 200) ** 0.5
    assert found.difference == pytest.approx(0.15)
    assert (found.low, found.high) == pytest.approx((0.15 - reach, 0.15 + reach), abs=NOISE)


def test_models_that_never_differ_may_still_differ_a_little():
    found = paired_difference(*models("wltw" * 10, "wltw" * 10))
    most = proportion(0, 40).high
    assert (found.difference, found.p) == (0, 1.0)
    assert (found.low, found.high) == pytest.approx((-most, most))


def test_a_model_that_always_wins_is_not_certain_to():
    found = paired_difference(*models("w" * 9, "l" * 9))
    most = proportion(0, 9).high
    assert (found.low, found.high) == pytest.approx((1 - 2 * most, 1))


def test_it_covers_nearly_as_often_as_it_claims_with_24_prompts():
    """Summed over all outcomes of 24 prompts: won by the first alone, the second alone, neither."""
    count, intervals = 24, {}
    for more in range(count + 1):
        for less in range(count + 1 - more):
            same = count - more - less
            pair = models("w" * more + "l" * less + "w" * same, "l" * more + "w" * (less + same))
            intervals[more, less] = paired_difference(*pair, resamples=499)

    def coverage(first, second):
        total = 0.0
        for (more, less), found in intervals.items():
            ways = math.comb(count, more) * math.comb(count - more, less)
            chance = first**more * second**less * (1 - first - second) ** (count - more - less)
            total += ways * chance * (found.low <= first - second <= found.high)
        return total

    truths = [(a / 40, b / 40 + 0.0003) for a in range(2, 20, 3) for b in range(2, 20, 3)]
    found = [coverage(*truth) for truth in truths]
    assert 0.84 < sum(found) / len(found) < 0.92
    assert min(found) > 0.7  # where models seldom differ


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        ({"a": 1}, {"b": 1}, "prompts that both were judged on: none of 1 and 1 is shared"),
        ({}, {}, "none of 0 and 0 is shared"),
        ({"a": 1}, {"a": 3}, r"expected points from 0 \(loss\) to 1 \(win\): 3"),
    ],
)
def test_wrong_input_raises(first, second, message):
    with pytest.raises(ValueError, match=message):
        paired_difference(first, second)


def test_the_difference_is_that_of_the_win_rates():
    first, second = models("wwwtll", "lwtlwl")
    named = {1.0: "win", 0.5: "tie", 0.0: "loss"}
    ours, theirs = (win_rate(named[p] for p in m.values()).main.rate for m in (first, second))
    assert paired_difference(first, second).difference == pytest.approx(ours - theirs)
