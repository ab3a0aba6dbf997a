"""The script that measures halo on a GPU, with tiny models on this machine's processor."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def run(out: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", str(ROOT / "benchmarks" / "gpu.sh"), str(out), *arguments],
        capture_output=True,
        text=True,
        timeout=200,
        env=os.environ | {"PYTHON": sys.executable},
        check=False,
    )


@pytest.mark.slow
def test_measurements_are_written_and_a_late_one_is_a_row(tmp_path: Path) -> None:
    done = run(tmp_path, "--tiny", "--only", "machine", "resume", "--seconds", "100")
    assert done.returncode == 0, done.stderr
    machine, resume = json.loads((tmp_path / "results.json").read_text("utf-8"))
    assert machine["torch"]
    assert machine["matrix_rate_float32_tflops"] > 0
    assert resume["repeated_same_bits"]
    assert resume["resumed_same_bits"]
    assert "resumed same bits yes" in (tmp_path / "table.md").read_text("utf-8")


@pytest.mark.slow
def test_a_measurement_that_takes_too_long_does_not_end_the_others(tmp_path: Path) -> None:
    done = run(tmp_path, "--tiny", "--only", "machine", "numbers", "--seconds", "1")
    assert done.returncode == 1
    results = json.loads((tmp_path / "results.json").read_text("utf-8"))
    assert [result["failed"] for result in results] == ["took longer than 1 s"] * 2


def test_a_folder_of_wheels_that_is_not_there_and_an_unknown_name_are_refused(
    tmp_path: Path,
) -> None:
    done = run(tmp_path, "--wheels", str(tmp_path / "none"))
    assert done.returncode == 2
    assert "is not a folder" in done.stderr
    assert run(tmp_path, "--only", "nothing").returncode == 2
