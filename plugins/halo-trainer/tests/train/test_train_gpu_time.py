"""The time on a GPU in the output of `halo plan`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from halo_core.stage import Known
from halo_methods.components import DPO, KTO
from halo_trainer.train.memory_and_time import gpu_hours
from halo_trainer.train.options import Train


def size_of(stage: Train, rows: int | None) -> Mapping[str, str]:
    return stage.forecast(Known(weights=10**9, learned=rows, cache=Path("cache"))).size


def line(rows: int | None, **options: object) -> str:
    stage = Train(data="train", loss=KTO(), **options)
    return size_of(stage, rows)["A100"].partition(" (")[0]


def test_hours_are_for_all_steps_where_the_rows_are_known() -> None:
    assert line(3200, batch_size=32).endswith("hours for 100 steps")
    assert line(3201, batch_size=32, epochs=2).endswith("hours for 202 steps")


def test_steps_that_are_given_count_and_not_the_rows() -> None:
    assert line(3200, steps=50).endswith("hours for 50 steps")
    assert line(None, steps=50).endswith("hours for 50 steps")


def test_hours_are_per_thousand_steps_where_the_rows_are_unknown() -> None:
    assert line(None).endswith("hours per 1,000 steps")


def test_hours_grow_with_the_steps() -> None:
    options = {"completions": 32, "reference": True, "reference_point": True}
    one, two = (
        gpu_hours(10**9, steps=steps, checkpointing=False, **options) for steps in (1000, 2000)
    )
    assert two == pytest.approx(2 * one)


def test_a_pair_costs_two_completions() -> None:
    losses = (DPO(), KTO())
    pairs, single = (size_of(Train(data="train", loss=loss), 32_000) for loss in losses)
    # 2 completions x (3 passes and the reference) against 1 x (these and two for each partner).
    ratio = float(pairs["A100"].split()[1]) / float(single["A100"].split()[1])
    assert ratio == pytest.approx(8 / 6, rel=0.1)
