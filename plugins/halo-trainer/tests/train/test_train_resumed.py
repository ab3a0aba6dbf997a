"""Stopped, killed and failed trainings that continue: all their bits are those of whole ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from safetensors.torch import load_file
from stage_on_words import StopAfter, curves, steps_kept, weights

from halo_core.errors import Interrupted, NotFiniteError
from halo_core.events import EventLog
from halo_core.feedback import Feedback
from halo_core.loss import Loss, LossBatch, LossOutput, Need
from halo_core.reference_point import Estimate, Observed, Observes, RefPointEstimator
from halo_core.stage import StageResult
from halo_methods.components import DPO, GRPO, KTO, SFT, MatchedKL, RunningMean

Run = Callable[..., StageResult]


class Killed(BaseException):
    """Simulates a kill: nothing in the stage catches it."""


class KilledAtStep6(EventLog):
    """Dies when step 6 is logged."""

    def append(self, type_: str, **fields: Any) -> None:
        if fields["step"] == 6:
            raise Killed
        super().append(type_, **fields)


RESUMABLE: dict[str, tuple[Loss, dict[str, Any]]] = {
    "kto, adamw, dropout": (KTO(), {"dropout": 0.2}),
    "kto, matched-kl": (KTO(), {"reference_point": MatchedKL(), "micro_batch_tokens": 30}),
    "kto, running-mean, dropout": (
        KTO(),
        {"reference_point": RunningMean(), "dropout": 0.2, "micro_batch_tokens": 30},
    ),
    "grpo, dropout": (
        GRPO(ratio_to="reference", aggregate="token"),
        {"dropout": 0.2, "micro_batch_tokens": 30},
    ),
    "dpo, rmsprop, cosine": (
        DPO(),
        {"optimizer": "rmsprop", "optimizer_options": {"momentum": 0.9}, "schedule": "cosine"},
    ),
    "sft, lora, sgd": (
        SFT(),
        {"lora": {"rank": 2}, "optimizer": "sgd", "optimizer_options": {"momentum": 0.9}},
    ),
}


@pytest.mark.parametrize("name", RESUMABLE)
def test_a_stopped_training_goes_on_bit_for_bit(name: str, run: Run, tmp_path: Path) -> None:
    loss, options = RESUMABLE[name]
    # It stops after the first step of the second epoch, in the middle of a window of the log.
    options = options | {"epochs": 2, "log_every": 3, "test_rows": 5, "evaluate_every": 3}
    expected = run(loss, name="whole", **options)
    with pytest.raises(Interrupted, match="step 4 of 6 is kept"):
        run(loss, name="cut", stop=StopAfter(4), **options)
    assert 4 in steps_kept(tmp_path / "cut")
    found = run(loss, name="cut", **options)
    same(tmp_path / "cut", tmp_path / "whole", found, expected)


def test_a_killed_training_goes_on_bit_for_bit(run: Run, tmp_path: Path) -> None:
    options = {"epochs": 3, "log_every": 3, "checkpoint_every": 4}
    expected = run(KTO(), name="whole", **options)
    with pytest.raises(Killed):
        run(KTO(), name="cut", events=KilledAtStep6, **options)
    assert steps_kept(tmp_path / "cut") == [4]
    found = run(KTO(), name="cut", **options)
    same(tmp_path / "cut", tmp_path / "whole", found, expected)


def same(cut: Path, whole: Path, found: StageResult, expected: StageResult) -> None:
    other = weights(whole)
    assert all(torch.equal(tensor, other[name]) for name, tensor in weights(cut).items())
    assert curves(cut) == curves(whole)
    timed = ("tok_s", "step_s", "peak_gb")
    assert {k: v for k, v in found.metrics.items() if k not in timed} == {
        k: v for k, v in expected.metrics.items() if k not in timed
    }


class RunningTotal(RefPointEstimator):
    """Counts its calls, as a state that must survive."""

    observes: ClassVar[Observes] = "nothing"

    def estimate(self, observed: Observed, state: Any) -> Estimate:
        calls = state.get("calls", 0.0) + 1
        return Estimate(calls, {"calls": calls})


def test_the_estimators_state_is_kept_and_evaluation_leaves_it_alone(
    run: Run, tmp_path: Path
) -> None:
    options = {"epochs": 2, "log_every": 1, "test_rows": 3, "evaluate_every": 2}
    options |= {"reference_point": RunningTotal()}
    with pytest.raises(Interrupted):
        run(KTO(), stop=StopAfter(3), **options)
    run(KTO(), **options)
    points = {s: v for (s, n), v in curves(tmp_path / "stage").items() if n[:8] == "policy/r"}
    assert points == {step: float(step) for step in range(1, 7)}


class FailsAtStep3(Loss):
    """Is not a number after the weights have changed twice."""

    feedback: ClassVar[Feedback] = "demonstration"
    needs: ClassVar[tuple[Need, ...]] = ("policy_logps",)
    calls: ClassVar[int] = 0

    def __call__(self, batch: LossBatch) -> LossOutput:
        FailsAtStep3.calls += 1
        losses = -batch.policy_logps * (torch.nan if FailsAtStep3.calls >= 3 else 1)
        return LossOutput(losses, torch.ones_like(losses))


def test_not_a_number_stops_with_the_state_before_it_and_names_the_rows(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FailsAtStep3, "calls", 0)
    with pytest.raises(NotFiniteError, match=r"stage: step 3: .*of 2 examples: train-\d+, train"):
        run(FailsAtStep3(), rows=10, steps=6)
    assert steps_kept(tmp_path / "stage") == [2]
    monkeypatch.setattr(FailsAtStep3, "calls", -100)
    run(FailsAtStep3(), steps=2, name="two")
    kept = load_file(tmp_path / "stage" / "checkpoints" / "step-00000002" / "weights.safetensors")
    two = weights(tmp_path / "two")
    assert all(torch.equal(kept[name], tensor) for name, tensor in two.items() if name in kept)
    assert not (tmp_path / "stage" / "model").exists()
