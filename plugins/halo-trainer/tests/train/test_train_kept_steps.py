"""The steps that are kept as checkpoints, and the one that is exported."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from stage_on_words import StopAfter, curves, steps_kept, weights

from halo_core.errors import Interrupted
from halo_core.stage import StageResult
from halo_methods.components import SFT

Run = Callable[..., StageResult]


def test_the_latest_and_the_best_checkpoints_are_kept(run: Run, tmp_path: Path) -> None:
    options = {"epochs": 4, "checkpoint_every": 2, "test_rows": 4, "evaluate_every": 3}
    run(SFT(), **options, keep_last=2, keep_best=1)
    folder = tmp_path / "stage"
    losses = {s: v for (s, n), v in curves(folder).items() if n == "eval/test/loss"}
    best = min(losses, key=lambda step: losses[step])
    assert set(steps_kept(folder)) == {10, 12, best}
    states = {
        step: json.loads((folder / "checkpoints" / f"step-{step:08d}" / "state.json").read_text())
        for step in steps_kept(folder)
    }
    assert states[best]["score"] == losses[best]


LEARNS_TOO_LONG: dict[str, Any] = {
    "epochs": 10,
    "learning_rate": 3e-2,
    "test_rows": 4,
    "evaluate_every": 2,
    "checkpoint_every": 100,
}
"""The loss on other rows is at its lowest long before the last step."""


def losses_on_test(folder: Path) -> dict[int, float]:
    return {step: v for (step, name), v in curves(folder).items() if name == "eval/test/loss"}


def test_the_best_step_is_exported_where_that_is_asked_for(run: Run, tmp_path: Path) -> None:
    result = run(SFT(), export="best", **LEARNS_TOO_LONG)
    losses = losses_on_test(tmp_path / "stage")
    best = min(losses, key=lambda step: losses[step])
    assert best < max(losses)
    assert result.metrics["exported_step"] == best
    assert result.metrics["eval_test_loss"] == losses[best]
    assert f"; step {best}, the best, is exported, {losses[best]:.3f} on test" in result.headline
    # Its weights are those that the same training has at this step.
    exported = weights(tmp_path / "stage")
    short = {k: v for k, v in LEARNS_TOO_LONG.items() if k != "epochs"}
    run(SFT(), name="short", steps=best, **short)
    for name, tensor in weights(tmp_path / "short").items():
        assert torch.equal(exported[name], tensor)


def test_the_best_adapter_is_exported(run: Run, tmp_path: Path) -> None:
    options = LEARNS_TOO_LONG | {"lora": {"rank": 4}, "learning_rate": 0.05}
    result = run(SFT(), export="best", **options)
    best = int(result.metrics["exported_step"])
    assert best < 30
    short = {k: v for k, v in options.items() if k != "epochs"}
    run(SFT(), name="short", steps=best, **short)
    exported = weights(tmp_path / "stage")
    assert all(torch.equal(exported[n], t) for n, t in weights(tmp_path / "short").items())


def test_the_last_step_is_exported_by_default_and_the_headline_names_a_better_one(
    run: Run, tmp_path: Path
) -> None:
    result = run(SFT(), **LEARNS_TOO_LONG)
    losses = losses_on_test(tmp_path / "stage")
    best, last = min(losses, key=lambda step: losses[step]), max(losses)
    assert "exported_step" not in result.metrics
    assert result.metrics["eval_test_loss"] == losses[last]
    assert result.headline.endswith(
        f", {losses[last]:.3f} on test; the last step is exported, though step {best} had "
        f"{losses[best]:.3f}"
    )


def test_a_resumed_training_exports_the_best_step_of_all(run: Run, tmp_path: Path) -> None:
    options = LEARNS_TOO_LONG | {"checkpoint_every": 5}
    whole = run(SFT(), name="whole", export="best", **options)
    stop = StopAfter(int(whole.metrics["exported_step"]) + 3)
    with pytest.raises(Interrupted):
        run(SFT(), export="best", stop=stop, **options)
    assert run(SFT(), export="best", **options).headline == whole.headline
    again, once = weights(tmp_path / "stage"), weights(tmp_path / "whole")
    assert all(torch.equal(again[name], tensor) for name, tensor in once.items())


def test_checkpoints_say_that_they_are_no_models(run: Run, tmp_path: Path) -> None:
    run(SFT(), steps=2, checkpoint_every=2)
    text = (tmp_path / "stage" / "checkpoints" / "README.md").read_text()
    assert text.startswith("# Internal: states of a training, not models")


def test_checkpoints_hold_no_pickle(run: Run, tmp_path: Path) -> None:
    run(SFT(), steps=2, checkpoint_every=2)
    files = {p.suffix for p in (tmp_path / "stage" / "checkpoints").rglob("*") if p.is_file()}
    assert files == {".safetensors", ".json", ".md"}
