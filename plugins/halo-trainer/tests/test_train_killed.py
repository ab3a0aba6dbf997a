"""Two ranks whose controller or launcher is killed: no step after, and the same bits at the end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
import torch
from safetensors.torch import load_file

from halo_core.stage import ModelInput

STEPS = 120


@pytest.fixture
def spec(tmp_path: Path, tiny_model: ModelInput) -> Path:
    rows = [{"prompt": f"What {i}?", "completion": "moo " * (i % 5) + "moo"} for i in range(9)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    path = tmp_path / "spec.yaml"
    path.write_text(
        f"name: killed\nseed: 1\nreports: []\nmodel: {{path: {tiny_model.path}}}\n"
        "data: {train: {use: jsonl, path: rows.jsonl}}\n"
        "stages: {tune: {use: train, loss: sft, data: train, batch_size: 4, "
        f"steps: {STEPS}, learning_rate: 0.01, log_every: 1, checkpoint_every: 7, "
        "processes: 2, device: cpu}}\n"
    )
    return path


def run(spec: Path, workspace: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "halo_core.cli", "run", str(spec), "--workspace", workspace],
        cwd=spec.parent,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stderr=subprocess.PIPE,
        text=True,
    )


def folder_of(spec: Path, workspace: str) -> Path | None:
    return next(iter((spec.parent / workspace / "stages").glob("[!.]*-*")), None)


def steps(spec: Path, workspace: str) -> list[int]:
    folder = folder_of(spec, workspace)
    if folder is None or not (folder / "events.jsonl").exists():
        return []
    lines = (folder / "events.jsonl").read_text().splitlines(keepends=True)
    events = [json.loads(line) for line in lines if line.endswith("\n")]
    return [event["step"] for event in events if event["type"] == "metrics"]


def wait_for(holds: Callable[[], object], process: subprocess.Popen[str]) -> None:
    end = time.monotonic() + 200
    while not holds():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.02)


def kill(process: psutil.Process, ranks: list[psutil.Process]) -> None:
    process.kill()
    gone, alive = psutil.wait_procs(ranks, timeout=5)
    assert (len(gone), alive) == (2, [])


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the launcher's death is reported by Linux")
def test_ranks_end_with_their_controller_and_launcher_and_the_same_bits_come_out(
    spec: Path,
) -> None:
    first = run(spec, "cut")
    wait_for(lambda: len(steps(spec, "cut")) >= 9, first)
    (launcher,) = psutil.Process(first.pid).children()
    kill(psutil.Process(first.pid), launcher.children())
    first.communicate()
    seen = steps(spec, "cut")
    time.sleep(0.5)
    assert steps(spec, "cut") == seen

    second = run(spec, "cut")
    wait_for(lambda: len(steps(spec, "cut")) >= len(seen) + 9, second)
    (launcher,) = psutil.Process(second.pid).children()
    kill(launcher, launcher.children())
    _, said = second.communicate(timeout=60)
    assert second.returncode == 1
    assert "a worker ended with exit code -9; it was killed" in said
    last = steps(spec, "cut")[len(seen) :]
    assert last == list(range(last[0], last[0] + len(last)))
    assert 1 < last[0] <= seen[-1] + 1

    third, whole = run(spec, "cut"), run(spec, "whole")
    for process in (third, whole):
        _, said = process.communicate(timeout=200)
        assert process.returncode == 0, said
    cut, uncut = folder_of(spec, "cut"), folder_of(spec, "whole")
    assert cut is not None
    assert uncut is not None
    found = load_file(cut / "model" / "model.safetensors")
    expected = load_file(uncut / "model" / "model.safetensors")
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)
