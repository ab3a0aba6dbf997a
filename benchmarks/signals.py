"""Sends signals to commands at random moments, and looks at what they leave.

    python benchmarks/signals.py [--trials 20] [--early 60] [--seed 0]

* **early**: `halo plugins` gets SIGINT within its first moments. A traceback is counted with the
  part of the start in which it came: before the first line of halo, nothing can handle a signal.
* **run**: a tiny run with two trainings and MLflow gets SIGINT, SIGTERM, SIGHUP, SIGINT twice or
  SIGKILL, as a process or as a process group. Then no process may be left, and the same command
  must complete the run, also in MLflow. A traceback or another exit code is a fault.

The exit code is 1 if there is a fault. 20 trials take about 10 minutes.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import psutil

HALO = [sys.executable, "-c", "from halo_core.cli import main; main()"]
MARK = "HALO_SIGNAL_TRIAL"
END_S = 60.0
"""Seconds in which all processes must have ended. That of a tracker may take half a minute."""

SPEC = {
    "name": "tiny",
    "seed": 1,
    "model": {
        "scratch": {
            "data": "corpus",
            "vocab_size": 300,
            "config": {
                "hidden_size": 16,
                "intermediate_size": 24,
                "num_hidden_layers": 1,
                "num_attention_heads": 2,
                "max_position_embeddings": 256,
                "tie_word_embeddings": True,
            },
        }
    },
    "data": {
        "corpus": {"use": "toy", "feedback": "text", "size": 30},
        "rows": {"use": "toy", "feedback": "paired", "size": 24},
    },
    "stages": {
        "first": {"use": "train", "data": "rows", "batch_size": 4, "steps": 12, "loss": "dpo"},
        "second": {
            "use": "train",
            "data": "rows",
            "batch_size": 4,
            "steps": 12,
            "loss": "ipo",
            "from": "first",
        },
    },
    "tracking": ["mlflow"],
    "reports": [],
}

ALLOWED = {
    "INT": {0, 130, -2},
    "TERM": {0, 143, -15},
    "HUP": {0, 143, -1},
    "INT INT": {0, 130, -2},
    "KILL": {0, -9},
}
"""Exit codes by signal. 0 is a command that was done before, or while it ended."""


def start(arguments: list[str], folder: Path, mark: str) -> subprocess.Popen[str]:
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    return subprocess.Popen(
        [*HALO, *arguments],
        cwd=folder,
        env=environment | {MARK: mark},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def left(mark: str) -> list[str]:
    """Returns the commands of the processes of a trial that still run after `END_S`."""
    end = time.monotonic() + END_S
    while True:
        found = []
        for process in psutil.process_iter():
            try:
                if process.environ().get(MARK) == mark:
                    found.append(" ".join(process.cmdline())[-120:])
            except psutil.Error:
                continue
        if not found or time.monotonic() > end:
            return found
        time.sleep(0.5)


def early(trials: int, rng: random.Random) -> Counter[str]:
    """Returns how `halo plugins` ended after a SIGINT at a random moment of its start."""
    found: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(trials):
            process = start(["plugins"], Path(folder), "early")
            time.sleep(rng.uniform(0, 0.3))
            os.killpg(process.pid, signal.SIGINT)
            _, said = process.communicate(timeout=120)
            if "Traceback" not in said:
                found[f"exit code {process.returncode}, {len(said.splitlines())} lines"] += 1
            elif "halo_core" in said:
                found["FAULT: a traceback in halo"] += 1
                print(said, flush=True)
            else:
                found["Python's traceback, before the first line of halo"] += 1
    return found


def runs(trials: int, rng: random.Random, longest: float) -> list[str]:
    """Returns the faults of runs that get signals."""
    faults: list[str] = []
    for number in range(trials):
        kind, group = rng.choice([*ALLOWED]), rng.random() < 0.5
        moment, pause = rng.uniform(0.3, longest), rng.uniform(0, 1)
        what = f"trial {number}: {kind} {'to the group' if group else ''} after {moment:.2f} s"
        with tempfile.TemporaryDirectory() as folder:
            fault = trial(Path(folder), kind, group, (moment, pause))
        print(f"{what}: {fault or 'right'}", flush=True)
        if fault:
            faults.append(f"{what}: {fault}")
    return faults


def trial(folder: Path, kind: str, group: bool, moments: tuple[float, float]) -> str:
    """Returns what is wrong with a run that got a signal, and with the run after it."""
    (folder / "spec.yaml").write_text(json.dumps(SPEC))
    mark = str(folder)
    process = start(["run", "spec.yaml"], folder, mark)
    for word, moment in zip(kind.split(), moments, strict=False):
        time.sleep(moment)
        send = os.killpg if group else os.kill
        if process.poll() is None:
            send(process.pid, signal.Signals[f"SIG{word}"])
    _, said = process.communicate(timeout=300)
    wrong = []
    if process.returncode not in ALLOWED[kind]:
        wrong.append(f"exit code {process.returncode}: {said[-600:]}")
    if "Traceback" in said or "internal error" in said:
        wrong.append(f"a traceback: {said[-900:]}")
    again = start(["run", "spec.yaml"], folder, mark)
    _, said = again.communicate(timeout=300)
    if again.returncode or "Traceback" in said:
        wrong.append(f"the next run ended with {again.returncode}: {said[-900:]}")
    if others := left(mark):
        wrong.append(f"{len(others)} processes are left: {others}")
    with sqlite3.connect(folder / "workspace" / "mlflow.db") as database:
        states = database.execute("select name, status from runs").fetchall()
    folders = sorted(one.name for one in (folder / "workspace" / "runs").glob("[!.]*"))
    if len(folders) > 1:
        # The hash of an editable plugin is part of a run's identity.
        return f"void: a plugin's code changed between the two commands, which made {folders}"
    if len(states) != 1 or states[0][1] != "FINISHED":
        wrong.append(f"MLflow has {states} for {folders}")
    return "; ".join(wrong)


def main() -> int:
    """Runs the trials and prints the results."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trials", type=int, default=20, help="number of runs")
    parser.add_argument("--early", type=int, default=60, help="number of early interrupts")
    parser.add_argument("--longest", type=float, default=12.0, help="latest moment of a signal")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng = random.Random(options.seed)
    found = early(options.early, rng)
    for how, count in found.most_common():
        print(f"early: {count} of {options.early}: {how}", flush=True)
    faults = runs(options.trials, rng, options.longest)
    print(f"{len(faults)} of {options.trials} runs have a fault")
    return int(bool(faults) or any("FAULT" in how for how in found))


if __name__ == "__main__":
    sys.exit(main())
