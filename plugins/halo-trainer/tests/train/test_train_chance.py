"""Chance in training: dropout, deterministic kernels, and the seeds of steps and ranks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from stage_on_words import curves, make_rows

from halo_core import ModelInput
from halo_core.feedback import Feedback
from halo_core.loss import Loss, LossBatch, LossOutput, Need
from halo_core.stage import StageContext, StageResult
from halo_methods.components import KTO
from halo_trainer.train.loop import seed_step
from halo_trainer.train.options import Train
from halo_trainer.train.ranks import Ranks
from halo_trainer.train.setup import set_up

Run = Callable[..., StageResult]


def test_dropout_is_only_for_what_is_learned_from(run: Run, tmp_path: Path) -> None:
    options = {"dropout": 0.5, "steps": 1, "learning_rate": 1e-30, "test_rows": 4}
    run(KTO(), **options)
    found = curves(tmp_path / "stage")
    assert found[1, "policy/kl"] == pytest.approx(0, abs=1e-5)
    assert found[1, "eval/test/loss"] == pytest.approx(0.5, abs=1e-6)
    assert found[1, "rewards/desirable"] != pytest.approx(0, abs=1e-3)


@pytest.mark.parametrize(
    ("options", "serves"),
    [({}, True), ({"dropout": 0.5}, False), ({"lora": {"rank": 2, "dropout": 0.5}}, False)],
)
def test_the_gradients_pass_serves_the_reference_point_only_where_nothing_is_dropped_out(
    options: dict[str, Any],
    serves: bool,
    make_data: Callable[..., Any],
    make_context: Callable[..., StageContext],
    tiny_model: ModelInput,
) -> None:
    data = {"data": make_data("binary", make_rows("binary", 3))}
    context = make_context(data=data, models={"from": tiny_model, "reference": tiny_model})
    stage = Train(data="d", loss=KTO(), device="cpu", **options)
    objective = set_up(stage.recipe(), context, Ranks("cpu")).objective
    assert objective.gives_own_logratios == serves
    objective.policy.eval()
    assert objective.gives_own_logratios


class Noting(Loss):
    """Records whether only deterministic kernels are used."""

    feedback: ClassVar[Feedback] = "demonstration"
    needs: ClassVar[tuple[Need, ...]] = ("policy_logps",)
    noted: ClassVar[list[bool]] = []

    def __call__(self, batch: LossBatch) -> LossOutput:
        self.noted.append(torch.are_deterministic_algorithms_enabled())
        return LossOutput(-batch.policy_logps, torch.ones_like(batch.policy_logps), None)


@pytest.mark.parametrize("wanted", [False, True])
def test_deterministic_kernels_are_used_where_asked_for_and_only_in_training(
    run: Run, wanted: bool
) -> None:
    Noting.noted.clear()
    run(Noting(), steps=1, deterministic=wanted)
    assert set(Noting.noted) == {wanted}
    assert not torch.are_deterministic_algorithms_enabled()


def test_chance_is_another_at_each_step_and_rank_and_for_each_seed() -> None:
    drawn = set()
    for place in ((1, 1, 0), (2, 1, 0), (1, 2, 0), (1, 1, 1)):
        seed_step(*place)
        drawn.add(torch.rand(()).item())
    assert len(drawn) == 4
