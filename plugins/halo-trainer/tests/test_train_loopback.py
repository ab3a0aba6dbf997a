"""Two processes of a training on one machine listen only on the loopback address."""

from __future__ import annotations

import ipaddress
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from halo_core.stage import ModelInput

STEPS = 30


@pytest.fixture
def spec(tmp_path: Path, tiny_model: ModelInput) -> Path:
    rows = [{"prompt": f"What {i}?", "completion": "moo " * (i % 5) + "moo"} for i in range(9)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    path = tmp_path / "spec.yaml"
    path.write_text(
        f"name: heard\nseed: 1\nreports: []\nmodel: {{path: {tiny_model.path}}}\n"
        "data: {train: {use: jsonl, path: rows.jsonl}}\n"
        "stages: {tune: {use: train, loss: sft, data: train, batch_size: 4, "
        f"steps: {STEPS}, log_every: 1, checkpoint_every: 10, processes: 2, device: cpu}}}}\n"
    )
    return path


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


@pytest.mark.slow
def test_no_process_of_a_training_listens_on_another_address(spec: Path) -> None:
    # A user may have set an interface for several machines. It does not count on one machine.
    environment = os.environ | {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "eth0"}
    command = [sys.executable, "-m", "halo_core.cli", "run", str(spec), "--workspace", "w"]
    process = subprocess.Popen(
        command, cwd=spec.parent, env=environment, stderr=subprocess.PIPE, text=True
    )
    heard: set[str] = set()
    workers = 0
    while process.poll() is None:
        heard |= addresses(psutil.Process(process.pid))
        workers = max(workers, len(psutil.Process(process.pid).children(recursive=True)))
        time.sleep(0.3)
    _, said = process.communicate()
    assert process.returncode == 0, said
    assert workers >= 3  # the launcher and its two processes
    assert heard  # the store of the launcher, and gloo's
    assert {each for each in heard if not ipaddress.ip_address(each).is_loopback} == set()
