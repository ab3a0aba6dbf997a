"""Checkpoints with a reference: their content, and the trainings that continue from them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from refreshed_stage import check_same, checkpoint, curve
from safetensors.torch import load_file
from stage_on_words import StopAfter

from halo_core.errors import Interrupted, NotFiniteError
from halo_core.events import EventLog
from halo_core.feedback import Feedback
from halo_core.loss import Loss, LossBatch, LossOutput, Need
from halo_core.reference_update import ReferenceUpdate
from halo_core.stage import StageResult
from halo_methods.components import DPO, EMA, KTO, PPO, Copy

Run = Callable[..., StageResult]


class Killed(BaseException):
    """Simulates a kill: nothing in the stage catches it."""


class KilledAtStep4(EventLog):
    """Dies when step 4 is logged."""

    def append(self, type_: str, **fields: Any) -> None:
        if fields["step"] == 4:
            raise Killed
        super().append(type_, **fields)


RESUMABLE: dict[str, tuple[Loss, ReferenceUpdate, dict[str, Any]]] = {
    "copy, dropout": (KTO(), Copy(every=3), {"dropout": 0.2}),
    "ema, dropout": (KTO(), EMA(decay=0.9), {"dropout": 0.2, "optimizer": "rmsprop"}),
    "copy, lora": (DPO(), Copy(every=3), {"lora": {"rank": 2, "dropout": 0.2}}),
    "copy, bfloat16": (DPO(), Copy(every=3), {"precision": "bfloat16"}),
    "ema, bfloat16": (DPO(), EMA(decay=0.9), {"precision": "bfloat16"}),
}


@pytest.mark.parametrize("name", RESUMABLE)
def test_a_stopped_training_goes_on_bit_for_bit(name: str, run: Run, tmp_path: Path) -> None:
    loss, update, options = RESUMABLE[name]
    options = options | {"steps": 6, "evaluate_every": 2}
    run(loss, update, name="whole", **options)
    with pytest.raises(Interrupted, match="step 3 of 6 is kept"):
        run(loss, update, name="cut", stop=StopAfter(3), **options)
    run(loss, update, name="cut", **options)
    check_same(tmp_path / "cut", tmp_path / "whole")


@pytest.mark.parametrize("update", [Copy(every=2), EMA(decay=0.9)], ids=repr)
def test_a_killed_training_goes_on_bit_for_bit(
    update: ReferenceUpdate, run: Run, tmp_path: Path
) -> None:
    options = {"steps": 6, "checkpoint_every": 3}
    run(KTO(), update, name="whole", **options)
    with pytest.raises(Killed):
        run(KTO(), update, name="cut", events=KilledAtStep4, **options)
    run(KTO(), update, name="cut", **options)
    check_same(tmp_path / "cut", tmp_path / "whole")


class FailsAtStep3(Loss):
    """Is not a number in the third step, as long as `fail` is set."""

    feedback: ClassVar[Feedback] = "paired"
    needs: ClassVar[tuple[Need, ...]] = ("policy_logps", "reference_logps")
    failing: ClassVar[bool] = False
    calls: ClassVar[int] = 0

    def __call__(self, batch: LossBatch) -> LossOutput:
        FailsAtStep3.calls += 1
        ratios = batch.chosen.policy_logps - batch.chosen.reference_logps
        losses = (ratios - 1) ** 2
        if FailsAtStep3.failing and FailsAtStep3.calls >= 3:
            losses = losses * torch.nan
        return LossOutput(losses, torch.ones_like(losses))


def test_a_step_that_failed_after_the_reference_was_updated_for_it_is_not_updated_for_twice(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    update = EMA(decay=0.5)
    run(FailsAtStep3(), update, name="whole")
    monkeypatch.setattr(FailsAtStep3, "calls", 0)
    monkeypatch.setattr(FailsAtStep3, "failing", True)
    with pytest.raises(NotFiniteError, match="step 3"):
        run(FailsAtStep3(), update, name="cut")
    monkeypatch.setattr(FailsAtStep3, "failing", False)
    run(FailsAtStep3(), update, name="cut")
    check_same(tmp_path / "cut", tmp_path / "whole")


def test_a_checkpoint_keeps_the_reference_of_its_step(run: Run, tmp_path: Path) -> None:
    run(DPO(), Copy(every=3), checkpoint_every=1, keep_last=9)
    folders = sorted((tmp_path / "stage" / "checkpoints").glob("step-*"))
    policies = [load_file(folder / "weights.safetensors") for folder in folders]
    references = [load_file(folder / "reference.safetensors") for folder in folders]
    # Before step 4 the policy of after step 3 is copied.
    for reference in references[3:]:
        assert all(torch.equal(weight, policies[2][n]) for n, weight in reference.items())
    assert all(torch.equal(weight, references[1][n]) for n, weight in references[2].items())
    assert not torch.equal(references[2]["model.norm.weight"], policies[2]["model.norm.weight"])
    assert references[0].keys() == policies[0].keys()


def test_the_best_and_the_latest_checkpoints_are_kept_with_their_references(
    run: Run, tmp_path: Path
) -> None:
    run(DPO(), EMA(decay=0.9), steps=6, checkpoint_every=2, evaluate_every=3)
    losses = curve(tmp_path / "stage", "eval/test/loss")
    best = 3 * (1 + losses.index(min(losses)))
    kept = {path.parent.name for path in (tmp_path / "stage").rglob("reference.safetensors")}
    assert kept == {f"step-{step:08d}" for step in (best, 4, 6)}


def test_a_checkpoint_without_an_update_is_what_it_was_before_there_were_any(
    run: Run, tmp_path: Path
) -> None:
    run(DPO(), None, checkpoint_every=5)
    folder = checkpoint(tmp_path / "stage")
    assert {file.name for file in folder.iterdir()} == {
        "weights.safetensors",
        "optimizer.safetensors",
        "state.json",
    }
    assert list(json.loads((folder / "state.json").read_text())) == [
        *("schema", "step", "tokens", "estimator", "window", "first_loss", "last", "score"),
        *("processes", "micro_batch_tokens", "micro_batch_option", "files", "crc"),
    ]


def test_checkpoints_of_a_refreshed_reference_hold_no_pickle(run: Run, tmp_path: Path) -> None:
    run(DPO(), EMA(decay=0.9), checkpoint_every=5)
    files = {file.suffix for file in checkpoint(tmp_path / "stage").iterdir()}
    assert files == {".safetensors", ".json"}


def test_with_adapters_a_checkpoint_keeps_the_reference_s_adapters_alone(
    run: Run, tmp_path: Path
) -> None:
    run(DPO(), Copy(every=2), lora={"rank": 2}, checkpoint_every=5)
    folder = checkpoint(tmp_path / "stage")
    trained, kept = (load_file(folder / f"{name}.safetensors") for name in ("weights", "reference"))
    assert trained.keys() == kept.keys()
    assert all("lora_" in name for name in kept)


def test_heads_of_the_loss_are_no_part_of_the_reference(run: Run, tmp_path: Path) -> None:
    run(PPO(advantage="gae"), Copy(every=2), checkpoint_every=5)
    folder = checkpoint(tmp_path / "stage")
    trained, kept = (load_file(folder / f"{name}.safetensors") for name in ("weights", "reference"))
    assert {name for name in trained if name not in kept} == {
        name for name in trained if name.startswith("heads.")
    }
    assert len(kept) < len(trained)
