"""Two ranks whose controller or launcher is killed, or one of which ends alone on shards.

No step comes after, and the next run gives the same bits as a training that nobody interrupts. That
training listens only on the loopback address. A rank that ends alone is named.
"""

from __future__ import annotations

import functools
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
from typing import Any, NamedTuple

import psutil
import pytest
import torch
from safetensors.torch import load_file

from halo_core.stage import ModelInput

STEPS = 24
HELD = Path(__file__).with_name("held_loss.py")
RAISES = 1 + next(
    at for at, line in enumerate(HELD.read_text().splitlines()) if "raise Runtime" in line
)
"""Line of it that raises."""


def write_spec(folder: Path, model: ModelInput) -> Path:
    rows = [{"prompt": f"What {i}?", "completion": "moo " * (i % 5) + "moo"} for i in range(9)]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    shutil.copy(HELD, folder)
    path = folder / "spec.yaml"
    path.write_text(
        f"name: killed\nseed: 1\nreports: []\nmodel: {{path: {model.path}}}\n"
        "data: {train: {use: jsonl, path: rows.jsonl}}\n"
        "stages: {tune: {use: train, loss: 'file:./held_loss.py:HeldSFT', data: train, "
        "batch_size: 4, "
        f"steps: {STEPS}, learning_rate: 0.01, log_every: 1, checkpoint_every: 7, "
        "processes: 2, device: cpu}}\n"
    )
    return path


@pytest.fixture
def spec(tmp_path: Path, tiny_model: ModelInput) -> Path:
    return write_spec(tmp_path, tiny_model)


def hold(spec: Path, calls: int) -> None:
    """Lets each process of the next runs wait after this number of calls of the loss."""
    spec.with_name("hold").write_text(str(calls))


def go_on(spec: Path) -> None:
    spec.with_name("hold").unlink()


def run(start: Any, spec: Path, workspace: str, **environment: str) -> subprocess.Popen[str]:
    """Starts `halo run` as a new process, or as a fork.

    Args:
        start: `subprocess.Popen`, or the function of `warm` with as many forks as are needed.
        spec: The spec.
        workspace: The name of its workspace.
        environment: Further environment variables.
    """
    process: subprocess.Popen[str] = start(
        [sys.executable, "-m", "halo_core.cli", "run", str(spec), "--workspace", workspace],
        cwd=spec.parent,
        env=os.environ | {"OMP_NUM_THREADS": "1"} | environment,
        stderr=subprocess.PIPE,
        text=True,
    )
    return process


@pytest.fixture
def start(warm: Any) -> Any:
    return functools.partial(warm.start, ready=(1, 2))


def folder_of(spec: Path, workspace: str) -> Path | None:
    return next(iter((spec.parent / workspace / "stages").glob("[!.]*-*")), None)


def steps(spec: Path, workspace: str) -> list[int]:
    folder = folder_of(spec, workspace)
    if folder is None or not (folder / "events.jsonl").exists():
        return []
    lines = (folder / "events.jsonl").read_text().splitlines(keepends=True)
    events = [json.loads(line) for line in lines if line.endswith("\n")]
    return [event["step"] for event in events if event["type"] == "metrics"]


def checkpoints(spec: Path, workspace: str) -> list[int]:
    folder = folder_of(spec, workspace)
    found = [] if folder is None else folder.glob("checkpoints/step-*/*.json")
    return sorted({int(path.parent.name.removeprefix("step-")) for path in found})


def wait_for(holds: Callable[[], object], process: subprocess.Popen[str]) -> None:
    end = time.monotonic() + 600
    while not holds():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.02)


def launcher_of(run: subprocess.Popen[str]) -> psutil.Process:
    """Returns the launcher, which the watched process of the run started."""
    process = psutil.Process(run.pid)
    for _ in range(1 + (sys.platform == "linux")):
        (process,) = process.children()
    return process


def kill(process: psutil.Process, ranks: list[psutil.Process]) -> None:
    process.kill()
    gone, alive = psutil.wait_procs(ranks, timeout=120)
    assert (len(gone), alive) == (2, [])


class Whole(NamedTuple):
    """A training that nobody interrupted.

    Attributes:
        folder: The folder of the stage.
        heard: Addresses that its processes listened on.
        workers: Number of processes below the command.
    """

    folder: Path
    heard: set[str]
    workers: int


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, tiny_model: ModelInput) -> Whole:
    spec = write_spec(tmp_path_factory.mktemp("whole"), tiny_model)
    # New processes, as a user starts them: they import what they need.
    # A user may have set an interface for several machines. It does not count on one machine.
    hold(spec, 5)
    process = run(subprocess.Popen, spec, "w", GLOO_SOCKET_IFNAME="eth0")
    wait_for(lambda: len(steps(spec, "w")) >= 3, process)
    heard = addresses(psutil.Process(process.pid))
    workers = len(psutil.Process(process.pid).children(recursive=True))
    go_on(spec)
    _, said = process.communicate()
    assert process.returncode == 0, said
    folder = folder_of(spec, "w")
    assert folder is not None
    return Whole(folder, heard, workers)


def addresses(process: psutil.Process) -> set[str]:
    """The addresses that a process and its children listen on, also those without a connection."""
    found = set()
    for each in [process, *process.children(recursive=True)]:
        try:
            connections = each.net_connections("inet")
        except psutil.NoSuchProcess:
            continue
        # A datagram socket has no state. One that has no other end takes messages of anybody.
        found |= {
            c.laddr.ip
            for c in connections
            if c.laddr and c.status in ("LISTEN", "NONE") and not c.raddr
        }
    return found


@pytest.mark.slow(seconds=20)
@pytest.mark.timeout(900)
def test_no_process_of_a_training_listens_on_another_address(whole: Whole) -> None:
    assert whole.workers >= 3  # the launcher and its two processes
    assert whole.heard  # the store of the launcher, and gloo's
    assert {each for each in whole.heard if not ipaddress.ip_address(each).is_loopback} == set()


@pytest.mark.slow(seconds=15)
@pytest.mark.timeout(900)
@pytest.mark.skipif(sys.platform != "linux", reason="the launcher's death is reported by Linux")
def test_ranks_end_with_their_controller_and_launcher_and_the_same_bits_come_out(
    start: Any, spec: Path, whole: Whole
) -> None:
    hold(spec, 10)
    first = run(start, spec, "cut")
    wait_for(lambda: len(steps(spec, "cut")) >= 9 and checkpoints(spec, "cut") == [7], first)
    launcher = launcher_of(first)
    kill(psutil.Process(first.pid), launcher.children())
    first.communicate()
    seen = steps(spec, "cut")
    time.sleep(0.5)
    assert steps(spec, "cut") == seen

    second = run(start, spec, "cut")
    wait_for(lambda: len(steps(spec, "cut")) >= len(seen) + 9, second)
    launcher = launcher_of(second)
    kill(launcher, launcher.children())
    _, said = second.communicate(timeout=600)
    assert second.returncode == 1
    assert "a worker was ended by SIGKILL, signal 9; it was killed" in said
    last = steps(spec, "cut")[len(seen) :]
    assert last == list(range(last[0], last[0] + len(last)))
    assert 1 < last[0] <= seen[-1] + 1

    go_on(spec)
    third = run(start, spec, "cut")
    _, said = third.communicate(timeout=600)
    assert third.returncode == 0, said
    cut = folder_of(spec, "cut")
    assert cut is not None
    found = load_file(cut / "model" / "model.safetensors")
    expected = load_file(whole.folder / "model" / "model.safetensors")
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


@pytest.mark.slow(seconds=10)
@pytest.mark.timeout(900)
def test_a_rank_that_raises_or_is_killed_alone_on_shards_is_named_and_all_ranks_end(
    start: Any,
    spec: Path,
) -> None:
    asked = spec.with_name("raise")
    spec.write_text(
        spec.read_text().replace("data: train, batch", "sharding: full, data: train, batch")
    )
    rank = r"rank 1 of 2 \(process \d+ on .+\)"

    asked.touch()
    raised = run(start, spec, "w")
    _, said = raised.communicate(timeout=600)
    assert raised.returncode == 3, said
    expected = rf"held_loss\.py:{RAISES}: .*RuntimeError: rank 1 alone.* \(in {rank}\)"
    assert re.search(expected, said), said
    assert steps(spec, "w") == []

    asked.unlink()
    hold(spec, 4)
    spec.with_name("process-of-1").unlink()
    killed = run(start, spec, "w")
    wait_for(lambda: len(steps(spec, "w")) >= 2, killed)
    launcher = launcher_of(killed)
    ranks = launcher.children()
    number = int(spec.with_name("process-of-1").read_text())
    (second,) = [each for each in ranks if each.pid == number]
    second.kill()
    go_on(spec)
    _, said = killed.communicate(timeout=600)
    assert killed.returncode == 1
    assert re.search(rf"{rank} was ended by SIGKILL, signal 9; it was killed", said), said
    assert not any(each.is_running() for each in [launcher, *ranks])
