"""The checkpoints of a finished training, and the effect of a kill near its end."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from halo_core.cli import call
from halo_core.run import execute
from halo_core.stage import ModelInput
from halo_methods.components import SFT
from halo_trainer.train.options import Train


@pytest.fixture
def run(tmp_path: Path, tiny_model: ModelInput) -> Callable[..., Path]:
    """Runs a spec with a training of six steps, and returns the stage's folder."""
    rows = [{"prompt": f"What {i}?", "completion": "moo " * (1 + i % 3)} for i in range(6)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "spec.yaml").write_text(
        f"name: leaves\nreports: []\nmodel: {{path: {tiny_model.path}}}\n"
        "data: {train: {use: jsonl, path: rows.jsonl}}\n"
        "stages: {tune: {use: train, loss: sft, data: train, evaluate: {train: train}, "
        "batch_size: 3, steps: 6, evaluate_every: 1, checkpoint_every: 2, device: cpu}}\n"
    )

    def go(*overrides: str, code: int = 0) -> Path:
        changes = [word for change in overrides for word in ("--set", f"stages.tune.{change}")]
        workspace = str(tmp_path / "w")
        spec = str(tmp_path / "spec.yaml")
        assert call(["run", spec, "--workspace", workspace, *changes]) == code
        (folder,) = (tmp_path / "w" / "stages").glob("train-*")
        return folder

    return go


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "checkpoints").glob("*"))


def test_a_finished_training_leaves_its_model_and_no_checkpoint(run: Callable[..., Path]) -> None:
    folder = run()
    assert (folder / "model").is_dir()
    assert not (folder / "checkpoints").exists()


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["keep_last=1"], ["step-00000006"]),
        (["keep_last=3", "keep_best=0"], ["step-00000002", "step-00000004", "step-00000006"]),
        # The loss falls, so the last steps are the best ones.
        (["keep_best=2"], ["step-00000005", "step-00000006"]),
    ],
)
def test_keep_last_and_keep_best_leave_checkpoints(
    run: Callable[..., Path], options: list[str], expected: list[str]
) -> None:
    assert left(run(*options)) == ["README.md", *expected]


def test_checkpoints_are_removed_only_when_the_stage_is_done(
    run: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: Any) -> None:
        raise MemoryError("while the model's files are compared")

    with monkeypatch.context() as patched:
        patched.setattr(execute, "check_values", fails)
        folder = run(code=1)
    assert not (folder / "done.json").exists()
    assert "step-00000006" in left(folder)
    events = (folder / "events.jsonl").read_text()
    run()
    # The last step exists, so only the model is written again.
    assert '"train/loss"' not in (folder / "events.jsonl").read_text().removeprefix(events)
    assert not (folder / "checkpoints").exists()


def test_checkpoints_that_cannot_be_removed_are_told_and_cost_no_result(
    run: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(*_: Any) -> None:
        raise PermissionError(13, "Permission denied", "step-00000006")

    monkeypatch.setattr("halo_trainer.train.checkpoints.search.leave_checkpoints", fails)
    folder = run()
    assert (folder / "done.json").exists()
    said = capsys.readouterr().err
    assert "not all files that only an interrupted stage needs are removed: " in said
    assert "Permission denied" in said


def test_two_checkpoints_are_there_while_a_training_runs() -> None:
    kept = Train(data="d", loss=SFT()).recipe().kept
    assert (kept.last_while_running, kept.best_while_running) == (2, 1)
    kept = Train(data="d", loss=SFT(), keep_last=5, keep_best=0).recipe().kept
    assert (kept.last_while_running, kept.best_while_running) == (5, 0)
