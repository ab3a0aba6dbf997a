from __future__ import annotations

import random

import pytest

from halo_trainer.batch.batch_plan import split_into_micro_batches


@pytest.mark.parametrize("ranks", [1, 2, 3])
def test_every_item_is_dealt_once_within_the_budget(ranks: int) -> None:
    rng = random.Random(0)
    sizes = [rng.randint(1, 60) for _ in range(41)]
    dealt = split_into_micro_batches(sizes, budget=100, ranks=ranks)
    bins = [items for mine in dealt for items in mine]
    assert sorted(i for items in bins for i in items) == list(range(41))
    assert all(sum(sizes[i] for i in items) <= 100 for items in bins)


@pytest.mark.parametrize("count", [1, 2, 5, 7])
def test_all_ranks_make_the_same_number_of_calls(count: int) -> None:
    dealt = split_into_micro_batches([30] * count, budget=50, ranks=3)
    assert len({len(mine) for mine in dealt}) == 1


def test_an_item_longer_than_the_budget_is_alone() -> None:
    (bins,) = split_into_micro_batches([500, 10, 10], budget=50, ranks=1)
    assert [0] in bins


def test_a_tiny_budget_makes_no_more_micro_batches_than_items() -> None:
    assert split_into_micro_batches([9, 9, 9], budget=1, ranks=1) == [[[0], [1], [2]]]


def test_work_is_even_even_when_one_bin_would_do() -> None:
    dealt = split_into_micro_batches([8, 7, 6, 5, 4], budget=1000, ranks=2)
    loads = [sum([8, 7, 6, 5, 4][i] for i in mine[0]) for mine in dealt]
    assert max(loads) - min(loads) <= 4


def test_micro_batches_are_as_few_as_the_budget_allows() -> None:
    (bins,) = split_into_micro_batches([10] * 10, budget=50, ranks=1)
    assert len(bins) == 2


def test_nothing_to_deal_is_no_call() -> None:
    assert split_into_micro_batches([], budget=10, ranks=2) == [[], []]
