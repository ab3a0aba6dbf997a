import random

import pytest

from halo_judge.judge_stage.duels import Duel, Ruling, assign_orders, combine, comparison, result_of


def duel(name, completion="good", baseline="bad"):
    return Duel(name, [{"role": "user", "content": name}], completion, baseline, 1, None)


@pytest.mark.parametrize(
    ("results", "ruling"),
    [
        (["win", "win"], Ruling("win")),
        (["loss", "loss"], Ruling("loss")),
        (["tie", "tie"], Ruling("tie")),
        (["win", "loss"], Ruling("tie", flip=True)),
        (["loss", "win"], Ruling("tie", flip=True)),
        (["win", "tie"], Ruling("tie")),
        (["tie", "loss"], Ruling("tie")),
        (["win", "unscored"], Ruling("unscored")),
        (["unscored", "unscored"], Ruling("unscored")),
        (["loss"], Ruling("loss")),
        (["unscored"], Ruling("unscored")),
        ([], Ruling("tie")),
    ],
)
def test_two_orders_combine_to_one_result(results, ruling):
    assert combine(results) == ruling


@pytest.mark.parametrize(
    ("order", "winner", "expected"),
    [
        ("AB", "A", "win"),
        ("AB", "B", "loss"),
        ("BA", "A", "loss"),
        ("BA", "B", "win"),
        ("BA", "tie", "tie"),
        ("AB", None, "unscored"),
    ],
)
def test_a_winner_is_read_in_the_order_that_was_shown(order, winner, expected):
    assert result_of(winner, order) == expected


def test_the_completion_is_shown_first_in_order_ab_and_second_in_ba():
    shown = {order: comparison(duel("p"), order) for order in ("AB", "BA")}
    assert (shown["AB"].a, shown["AB"].b) == ("good", "bad")
    assert (shown["BA"].a, shown["BA"].b) == ("bad", "good")
    assert shown["AB"].id != shown["BA"].id


def test_counterbalanced_orders_are_half_and_half_and_do_not_depend_on_the_texts():
    duels = [duel(name) for name in "dacbfe"]
    orders = dict(zip("dacbfe", assign_orders(duels, both=False), strict=True))
    assert sorted(orders.values()) == [("AB",)] * 3 + [("BA",)] * 3
    others = [duel(name, completion="else") for name in "abcdef"]
    assert dict(zip("abcdef", assign_orders(others, both=False), strict=True)) == orders


def test_counterbalanced_orders_follow_ids_whether_halo_made_them_or_not():
    rng = random.Random(0)
    made = [f"{rng.getrandbits(64):016x}" for _ in range(50)]
    for ids in (made, [*made, f"{made[0]}.2", "Ab", "é"]):
        duels = [
            duel(id_, "same", "same") if n % 7 == 3 else duel(id_) for n, id_ in enumerate(ids)
        ]
        asked = sorted(id_ for n, id_ in enumerate(ids) if n % 7 != 3)
        wanted = {id_: (("AB",), ("BA",))[place % 2] for place, id_ in enumerate(asked)}
        orders = assign_orders(duels, both=False)
        assert list(orders) == [wanted.get(id_, ()) for id_ in ids]


def test_identical_texts_are_not_judged_in_any_order():
    orders = assign_orders([duel("p", "same", "same"), duel("q")], both=True)
    assert list(orders) == [(), ("AB", "BA")]
