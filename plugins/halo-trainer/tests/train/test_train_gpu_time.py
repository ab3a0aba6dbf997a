"""The time in the output of `halo plan`."""

from __future__ import annotations

from pathlib import Path

import pytest

from halo_core.devices import parse_devices
from halo_core.fit import Fit
from halo_core.loss import Loss
from halo_core.stage import Known, KnownModel
from halo_methods.components import DPO, KTO
from halo_trainer.train.options import Train


def fit_of(loss: Loss, rows: int | None, **options: object) -> Fit:
    known = Known(
        learned=rows,
        cache=Path("cache"),
        models={"from": KnownModel(hub="EleutherAI/pythia-1.4b")},
        devices=parse_devices("8x80GB"),
    )
    fit = Train(data="train", loss=loss, **options).forecast(known).fit
    assert fit is not None
    return fit


def hours(rows: int | None, **options: object) -> float | None:
    return fit_of(KTO(), rows, **options).hours


def test_hours_are_for_all_steps_where_the_rows_are_known() -> None:
    one = hours(32, batch_size=32)
    assert one is not None
    assert hours(3200, batch_size=32) == pytest.approx(100 * one)
    assert hours(3201, batch_size=32, epochs=2) == pytest.approx(202 * one)


def test_steps_that_are_given_count_and_not_the_rows() -> None:
    assert hours(3200, steps=50) == hours(None, steps=50) is not None


def test_hours_are_unknown_where_the_rows_are_unknown() -> None:
    assert hours(None) is None
    assert fit_of(KTO(), None).tokens_per_second is not None


def test_a_pair_costs_two_completions() -> None:
    pairs, single = fit_of(DPO(), 32_000).hours, fit_of(KTO(), 32_000).hours
    assert pairs is not None
    assert single is not None
    # 2 completions x (3 passes and the reference) against 1 x (these and two for each partner).
    assert pairs / single == pytest.approx(8 / 6)
