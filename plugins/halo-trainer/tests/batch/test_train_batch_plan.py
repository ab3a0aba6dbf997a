from __future__ import annotations

import pytest

from halo_trainer.batch.batch_plan import BatchPlan


def epoch(plan: BatchPlan, number: int) -> list[int]:
    first = (number - 1) * plan.steps_per_epoch + 1
    steps = range(first, first + plan.steps_per_epoch)
    return [i for step in steps for i in plan.batch(step).indices]


def test_every_epoch_holds_each_example_once() -> None:
    plan = BatchPlan(examples=10, batch_size=4, seed=3)
    assert sorted(epoch(plan, 1)) == sorted(epoch(plan, 2)) == list(range(10))


def test_the_last_batch_of_an_epoch_may_be_short() -> None:
    plan = BatchPlan(examples=10, batch_size=4, seed=3)
    assert [len(plan.batch(step).indices) for step in range(1, 7)] == [4, 4, 2, 4, 4, 2]


def test_epochs_and_seeds_have_orders_of_their_own() -> None:
    plan = BatchPlan(examples=50, batch_size=8, seed=3)
    assert epoch(plan, 1) != epoch(plan, 2)
    assert epoch(plan, 1) != epoch(BatchPlan(50, 8, seed=4), 1)
    assert epoch(plan, 1) == epoch(BatchPlan(50, 8, seed=3), 1)


def test_a_batch_does_not_depend_on_those_drawn_before() -> None:
    plan = BatchPlan(examples=50, batch_size=8, seed=3)
    late = plan.batch(12)
    plan.batch(1)
    assert plan.batch(12) == late
    assert plan.rng(12, "pairs").random() == plan.rng(12, "pairs").random()
    assert plan.rng(12, "pairs").random() != plan.rng(13, "pairs").random()


def test_following_examples_come_next_and_end_with_the_epoch() -> None:
    plan = BatchPlan(examples=40, batch_size=4, seed=3)
    order = epoch(plan, 1)
    assert list(plan.batch(1).following) == order[4:20]
    assert list(plan.batch(9).following) == order[36:]
    assert list(plan.batch(10).following) == []


@pytest.mark.parametrize(("step", "seen"), [(0, 0), (1, 4), (2, 8), (3, 10), (4, 14), (6, 20)])
def test_examples_seen_counts_short_batches(step: int, seen: int) -> None:
    assert BatchPlan(examples=10, batch_size=4, seed=0).examples_seen(step) == seen


def test_evaluation_goes_through_the_data_in_order() -> None:
    plan = BatchPlan(examples=5, batch_size=2, seed=0, shuffled=False)
    assert epoch(plan, 1) == [0, 1, 2, 3, 4]


def test_a_negative_seed_works() -> None:
    assert sorted(epoch(BatchPlan(examples=5, batch_size=2, seed=-1), 1)) == list(range(5))
