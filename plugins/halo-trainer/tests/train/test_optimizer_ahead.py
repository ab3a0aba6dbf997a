"""An optimiser is tried once for all cells of a suite, and a wrong option is found in each."""

from __future__ import annotations

from typing import Any

import pytest

from halo_core.errors import HaloError
from halo_trainer.train import look_ahead
from halo_trainer.train.recipe import OptimizerRecipe


def recipe(**options: Any) -> OptimizerRecipe:
    return OptimizerRecipe("AdamW", options, weight_decay=0.0, max_grad_norm=None)


def test_an_optimiser_takes_one_step_for_all_cells(monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[float] = []
    monkeypatch.setattr(look_ahead, "_STEPPED", set())
    monkeypatch.setattr(look_ahead, "update_weights", lambda _, rate: steps.append(rate))
    for _ in range(3):
        look_ahead._try_optimizer(recipe())
    look_ahead._try_optimizer(recipe(eps=1e-5))
    assert len(steps) == 2


def test_a_wrong_option_is_found_each_time() -> None:
    for _ in range(2):
        with pytest.raises((HaloError, ValueError), match="eps"):
            look_ahead._try_optimizer(recipe(eps=-1.0))
