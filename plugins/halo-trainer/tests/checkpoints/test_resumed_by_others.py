"""A training whose weights two processes share is continued by one process, with its reference."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from halo_core.cli import call
from halo_core.events import read_events
from halo_core.stage import ModelInput

pytestmark = [pytest.mark.slow(seconds=20), pytest.mark.timeout(900)]
STEPS = 24


@pytest.fixture
def spec(tmp_path: Path, tiny_model: ModelInput) -> Path:
    rows = [
        {"prompt": f"What {i}?", "chosen": "moo " * (1 + i % 3), "rejected": "duck " * (1 + i % 2)}
        for i in range(9)
    ]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    shutil.copy(Path(__file__).parents[1] / "held_loss.py", tmp_path)
    path = tmp_path / "spec.yaml"
    path.write_text(
        f"name: cut\nseed: 1\nreports: []\nmodel: {{path: {tiny_model.path}}}\n"
        "data: {train: {use: jsonl, path: rows.jsonl}}\n"
        "stages: {tune: {use: train, loss: 'file:./held_loss.py:HeldDPO', data: train, "
        "batch_size: 4, "
        f"steps: {STEPS}, learning_rate: 0.003, warmup_steps: 9, schedule: linear, log_every: 1, "
        "checkpoint_every: 2, reference_update: {use: ema, decay: 0.9}, "
        "sharding: full, device: cpu}}\n"
    )
    return path


def stage_folder(spec: Path, workspace: str) -> Path | None:
    return next(iter((spec.parent / workspace / "stages").glob("train-*")), None)


def curves(folder: Path, name: str) -> dict[int, float]:
    events = [event for event, _ in read_events(folder / "events.jsonl")]
    return {e["step"]: e["metrics"][name] for e in events if e["type"] == "metrics"}


def interrupt_after(process: subprocess.Popen[str], spec: Path, steps: int) -> None:
    end = time.monotonic() + 600
    while (folder := stage_folder(spec, "cut")) is None or len(
        curves(folder, "train/lr") if (folder / "events.jsonl").exists() else ()
    ) < steps:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)


def start(warm: Any, spec: Path) -> subprocess.Popen[str]:
    process: subprocess.Popen[str] = warm.start(
        [
            *(sys.executable, "-m", "halo_core.cli", "run", str(spec), "--workspace", "cut"),
            *("--set", "stages.tune.processes=2"),
        ],
        ready=(1, 2),
        cwd=spec.parent,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stderr=subprocess.PIPE,
        text=True,
    )
    return process


def test_one_process_continues_what_two_began_and_gives_its_own_results(
    warm: Any, spec: Path
) -> None:
    hold = spec.with_name("hold")
    hold.write_text("7")
    begun = start(warm, spec)
    interrupt_after(begun, spec, 5)
    _, said = begun.communicate(timeout=600)
    assert begun.returncode == 130, said
    hold.unlink()
    cut = stage_folder(spec, "cut")
    assert cut is not None
    checkpoint = max(cut.glob("checkpoints/step-*"))
    assert {path.name for path in checkpoint.iterdir()} >= {
        "shard-00000-of-00002.safetensors",
        "shard-00001-of-00002.safetensors",
        "shards.json",
    }
    for workspace in ("cut", "whole"):
        assert call(["run", str(spec), "--workspace", str(spec.parent / workspace)]) == 0
    whole = stage_folder(spec, "whole")
    assert whole is not None
    found, expected = (load_file(f / "model" / "model.safetensors") for f in (cut, whole))
    assert found.keys() == expected.keys()
    for name, weight in expected.items():
        assert (found[name] - weight).norm() <= 1e-4 * weight.norm(), name
    assert curves(cut, "train/lr") == curves(whole, "train/lr")
    ages = curves(cut, "reference/age_steps")
    assert ages == pytest.approx(curves(whole, "reference/age_steps"))
    losses = curves(cut, "train/loss")
    assert losses == pytest.approx(curves(whole, "train/loss"), rel=1e-3, abs=1e-4)
    step = int(checkpoint.name.removeprefix("step-"))
    warnings = [
        e["message"] for e, _ in read_events(cut / "events.jsonl") if e["type"] == "warning"
    ]
    expected_warning = (
        f"step {step} was computed by 2 processes, and 1 process will continue. Data and "
        "learning rates are the same; gradients are equal up to rounding."
    )
    assert expected_warning in warnings
