"""Two launchers on loopback that form one world, as two machines with one process each."""

from __future__ import annotations

import ipaddress
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from safetensors.torch import load_file

from halo_core.cli import call
from halo_core.stage import ModelInput

pytestmark = [pytest.mark.slow(seconds=20), pytest.mark.timeout(900)]
STEPS = 15
Process = subprocess.Popen[str]


@pytest.fixture
def spec(tmp_path: Path, tiny_model: ModelInput) -> Path:
    rows = [{"prompt": f"What {i}?", "completion": "moo " * (i % 5) + "moo"} for i in range(9)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    shutil.copy(Path(__file__).with_name("held_loss.py"), tmp_path)
    path = tmp_path / "spec.yaml"
    path.write_text(
        f"name: far\nseed: 1\nreports: []\nmodel: {{path: {tiny_model.path}}}\n"
        "data: {train: {use: jsonl, path: rows.jsonl}}\n"
        "stages: {tune: {use: train, loss: 'file:./held_loss.py:HeldSFT', data: train, "
        "batch_size: 4, "
        f"steps: {STEPS}, learning_rate: 0.01, log_every: 1, checkpoint_every: 3, "
        "processes: 1, machines: 2, device: cpu}}\n"
    )
    return path


def start(warm: Any, spec: Path, *words: str) -> Process:
    process: Process = warm.start(
        [sys.executable, "-m", "halo_core.cli", *words],
        ready=(1, 1),
        cwd=spec.parent,
        env=os.environ | {"OMP_NUM_THREADS": "1", "HALO_ADDRESS": "127.0.0.1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    return process


def run_and_join(warm: Any, spec: Path) -> tuple[Process, Process]:
    run = start(warm, spec, "run", "spec.yaml", "--workspace", "w")
    wait_for(lambda: list((spec.parent / "w").glob("runs/far-*")), run)
    (folder,) = (spec.parent / "w").glob("runs/far-*")
    return run, start(warm, spec, "join", str(folder))


def steps(spec: Path) -> list[int]:
    found = []
    for path in (spec.parent / "w" / "stages").glob("[!.]*/events.jsonl"):
        for line in path.read_text().splitlines(keepends=True):
            event = json.loads(line) if line.endswith("\n") else {"type": ""}
            found += [event["step"]] if event["type"] == "metrics" else []
    return found


def wait_for(holds: Callable[[], object], process: Process) -> None:
    end = time.monotonic() + 600
    while not holds():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.05)


def listening(process: psutil.Process) -> set[str]:
    found = set()
    for each in [process, *process.children(recursive=True)]:
        found |= {c.laddr.ip for c in each.net_connections("inet") if c.status == "LISTEN"}
    return {ip for ip in found if not ipaddress.ip_address(ip).is_loopback}


def test_two_launchers_form_one_world_and_name_a_rank_that_is_killed(warm: Any, spec: Path) -> None:
    # A rank on the other machine is killed: both machines end, and it is named.
    hold = spec.with_name("hold")
    hold.write_text("7")
    run, other = run_and_join(warm, spec)
    wait_for(lambda: len(steps(spec)) >= 5, run)
    assert listening(psutil.Process(run.pid)) | listening(psutil.Process(other.pid)) == set()
    (watched,) = psutil.Process(other.pid).children()
    (launcher,) = watched.children()
    (rank,) = launcher.children()
    rank.kill()
    hold.unlink()
    said, _ = run.communicate(timeout=600)
    assert run.returncode == 1, said
    expected = rf"rank 1 of 2 \(process {rank.pid} on .+\) was ended by SIGKILL, signal 9; it was"
    assert re.search(expected, said), said
    far_said, _ = other.communicate(timeout=600)
    assert other.returncode == 1, far_said

    # The same two commands continue, and give the weights of one process, up to rounding.
    run, other = run_and_join(warm, spec)
    said, _ = run.communicate(timeout=600)
    assert run.returncode == 0, said
    assert "1 more machine is needed. Start there" in said
    far_said, _ = other.communicate(timeout=600)
    assert other.returncode == 0, far_said
    assert not list((spec.parent / "w").glob("runs/*/.join"))
    here = spec.with_name("here.yaml")
    here.write_text(spec.read_text().replace("machines: 2", "machines: 1"))
    assert call(["run", str(here), "--workspace", str(spec.parent / "v")]) == 0
    found, one = (
        load_file(next((spec.parent / w / "stages").glob("train-*/model/model.safetensors")))
        for w in ("w", "v")
    )
    for name, expected_weight in one.items():
        error = (found[name] - expected_weight).norm()
        assert error <= 1e-4 * expected_weight.norm(), name
