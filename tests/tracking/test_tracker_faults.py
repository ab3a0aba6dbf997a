"""The short form of `benchmarks/trackers.py`: no point is lost, and a point costs little."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "trackers.py"


@pytest.mark.slow(seconds=10)
@pytest.mark.parametrize("part", ["cost", "kills"])
def test_the_tracker_mlflow_loses_no_point_and_a_point_costs_little(part: str) -> None:
    command = [sys.executable, str(SCRIPT), "--short", "--only", part]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
