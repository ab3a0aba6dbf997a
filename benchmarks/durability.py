"""Measures the cost of making renames survive a power cut: the time of all calls of `fsync`.

    python benchmarks/durability.py SPEC [--set KEY=VALUE ...]

It runs the spec in a new workspace, in this process. For each stage it prints the seconds, the
number of calls of `fsync`, and their seconds and share. It does not count the calls of SQLite,
which keeps replies and MLflow's runs.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from halo_core.cli import call
from halo_core.events import read_events


@dataclass
class Syncs:
    """The times of all calls of `fsync`, and their durations."""

    calls: list[tuple[float, float]] = field(default_factory=list)

    def watch(self) -> None:
        """Records every later call."""
        fsync = os.fsync

        def noted(descriptor: int) -> None:
            started = time.time()
            fsync(descriptor)
            self.calls.append((started, time.time() - started))

        os.fsync = noted

    def between(self, start: float, end: float) -> list[float]:
        """Returns the seconds of each call between two times."""
        return [seconds for at, seconds in self.calls if start <= at < end]


def main(arguments: Sequence[str]) -> int:
    syncs = Syncs()
    syncs.watch()
    with tempfile.TemporaryDirectory(dir=".") as workspace:
        started = time.time()
        code = call(["run", *arguments, "--workspace", workspace, "--set", "reports=[]"])
        ended = time.time()
        print(f"{'stage':12} {'seconds':>8} {'fsync':>6} {'seconds':>8} {'share':>8}")
        for name, start, end in [*_stages(Path(workspace)), ("all", started, ended)]:
            seconds = syncs.between(start, end)
            share = sum(seconds) / (end - start)
            print(f"{name:12} {end - start:8.1f} {len(seconds):6} {sum(seconds):8.3f} {share:8.2%}")
    return code


def _stages(workspace: Path) -> list[tuple[str, float, float]]:
    (events,) = workspace.glob("runs/*/events.jsonl")
    starts: dict[str, float] = {}
    stages = []
    for event, _ in read_events(events):
        if event["type"] == "stage-started":
            starts[event["stage"]] = event["time"]
        if event["type"] == "stage-ended":
            stages.append((event["stage"], starts[event["stage"]], event["time"]))
    return stages


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
