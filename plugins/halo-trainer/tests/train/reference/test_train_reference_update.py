"""A reference that follows the policy: its log-ratios and its age at each step."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from refreshed_stage import curve, model_weights, other_model

from halo_core import ModelInput
from halo_core.feedback import Feedback
from halo_core.loss import Loss, LossBatch, LossOutput, Need
from halo_core.reference_update import ReferenceUpdate
from halo_core.stage import StageResult
from halo_methods.components import DPO, EMA, KTO, Copy, MatchedKL, MismatchedKL, RunningMean

Run = Callable[..., StageResult]
LOG_2 = pytest.approx(math.log(2), abs=1e-6)


class Halfway(ReferenceUpdate):
    """Mixes half of the policy before steps 3 and 4, and all of it before step 5."""

    def mix(self, step: int) -> float:
        return {3: 0.5, 4: 0.5, 5: 1.0}.get(step, 0.0)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("lora", [None, {"rank": 2}])
def test_a_policy_that_was_copied_before_the_step_has_log_ratios_of_exactly_zero(
    precision: str, lora: dict[str, int] | None, run: Run, tmp_path: Path
) -> None:
    run(DPO(), Copy(every=1), precision=precision, lora=lora)
    assert curve(tmp_path / "stage", "rewards/chosen") == [0.0] * 5
    assert curve(tmp_path / "stage", "train/loss") == [LOG_2] * 5
    assert min(curve(tmp_path / "stage", "train/grad_norm")) > 0
    run(DPO(), None, name="frozen", precision=precision, lora=lora)
    assert abs(curve(tmp_path / "frozen", "rewards/chosen")[4]) > 1e-4


def test_a_copy_every_two_steps_has_log_ratios_of_zero_in_every_second_step(
    run: Run, tmp_path: Path
) -> None:
    run(DPO(), Copy(every=2))
    rewards = curve(tmp_path / "stage", "rewards/chosen")
    assert [reward == 0 for reward in rewards] == [True, False, True, False, True]


@pytest.mark.parametrize("estimator", [MismatchedKL(), MatchedKL(), RunningMean()], ids=repr)
def test_reference_points_see_the_refreshed_reference(
    estimator: Any, run: Run, tmp_path: Path
) -> None:
    run(KTO(), Copy(every=1), reference_point=estimator)
    assert curve(tmp_path / "stage", "policy/reference_point") == [0.0] * 5
    assert curve(tmp_path / "stage", "policy/kl") == [0.0] * 5
    run(KTO(), None, reference_point=estimator, name="frozen")
    assert curve(tmp_path / "frozen", "policy/kl")[4] != 0


@pytest.mark.parametrize(
    ("update", "ages"),
    [
        (Copy(every=1), [0, 0, 0, 0, 0]),
        (Copy(every=2), [0, 1, 0, 1, 0]),
        (Copy(every=9), [0, 1, 2, 3, 4]),
        (EMA(decay=0.5), [0, 0.5, 0.75, 0.875, 0.9375]),
        (Halfway(), [0, 1, 1, 1, 0]),
    ],
    ids=repr,
)
def test_the_age_of_the_reference_is_logged_with_the_curves(
    update: ReferenceUpdate, ages: list[float], run: Run, tmp_path: Path
) -> None:
    result = run(DPO(), update)
    assert curve(tmp_path / "stage", "reference/age_steps") == ages
    assert result.metrics["reference_age_steps"] == ages[-1]


def test_a_frozen_reference_has_no_age(run: Run, tmp_path: Path) -> None:
    result = run(DPO(), None)
    assert curve(tmp_path / "stage", "reference/age_steps") == []
    assert not any("age" in name for name in result.metrics)


def test_the_age_of_an_average_comes_near_that_of_its_policies(run: Run, tmp_path: Path) -> None:
    run(DPO(), EMA(decay=0.6), steps=25, log_every=25)
    assert curve(tmp_path / "stage", "reference/age_steps")[-1] == pytest.approx(0.6 / 0.4, 1e-4)


def test_another_reference_serves_until_the_first_copy_and_is_then_the_policy(
    run: Run, tiny_model: ModelInput, tmp_path: Path
) -> None:
    other = other_model(tiny_model, tmp_path / "other")
    run(DPO(), Copy(every=2), reference=other)
    rewards = curve(tmp_path / "stage", "rewards/chosen")
    assert [reward == 0 for reward in rewards] == [False, False, True, False, True]
    run(DPO(), None, reference=other, name="frozen")
    assert rewards[:2] == curve(tmp_path / "frozen", "rewards/chosen")[:2]
    run(DPO(), Copy(every=2), reference=other, lora={"rank": 2}, name="lora")
    rewards = curve(tmp_path / "lora", "rewards/chosen")
    assert [reward == 0 for reward in rewards] == [False, False, True, False, True]


class Marked(Loss):
    """DPO's gain on binary feedback, with a control token after each prompt."""

    feedback: ClassVar[Feedback] = "binary"
    needs: ClassVar[tuple[Need, ...]] = ("policy_logps", "reference_logps")

    def control_tokens(self) -> tuple[str, str]:
        return "<|good|>", "<|bad|>"

    def __call__(self, batch: LossBatch) -> LossOutput:
        gains = torch.where(batch.desirable, batch.logratios, -batch.logratios)
        return LossOutput(
            -gains.sigmoid(), torch.ones_like(gains), rewards=batch.logratios.detach()
        )


def test_control_tokens_are_copied_with_the_vocabulary_that_grew(run: Run, tmp_path: Path) -> None:
    run(Marked(), Copy(every=1))
    assert curve(tmp_path / "stage", "rewards/desirable")[1:] == [0.0] * 4


def test_an_evaluation_compares_with_the_reference_of_its_step(run: Run, tmp_path: Path) -> None:
    for name, update in (("stage", Copy(every=2)), ("frozen", None)):
        run(DPO(), update, name=name, evaluate_every=1, steps=3)
    followed, frozen = (
        curve(tmp_path / name, "eval/test/rewards/chosen") for name in ("stage", "frozen")
    )
    assert followed[:2] == frozen[:2]
    assert followed[2] != frozen[2]


def test_neither_micro_batches_nor_evaluation_change_what_is_learned(
    run: Run, tmp_path: Path
) -> None:
    update = EMA(decay=0.5)
    run(DPO(), update, name="whole", evaluate_every=1)
    run(DPO(), update, name="again")
    run(DPO(), update, name="cut", micro_batch_tokens=20)
    whole, again, cut = (model_weights(tmp_path / name) for name in ("whole", "again", "cut"))
    for name, weight in whole.items():
        assert torch.equal(again[name], weight)
        assert (cut[name] - weight).norm() <= 1e-4 * weight.norm()
