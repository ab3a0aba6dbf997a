"""Short forms of `benchmarks/kill.py` and `benchmarks/damage.py`: killed runs, damaged files."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = [
    pytest.mark.slow(seconds=20),
    pytest.mark.timeout(600),
    pytest.mark.skipif(sys.platform != "linux", reason="finds processes and files under /proc"),
]


def call(script: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, str(ROOT / "benchmarks" / script), *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_killed_runs_go_on_and_give_the_same_results() -> None:
    said = call("kill.py", "--changes", "4", "--kills", "2", "--two", "0", "--seed", "3")
    assert "| before a change of a file | 4 | 4 | 0 | 0 |" in said


def test_damaged_files_are_made_again_or_named() -> None:
    said = call("damage.py", "--cases", "6", "--seed", "1", "--worlds", "finished,training")
    (everything,) = [line for line in said.splitlines() if line.startswith("| all |")]
    again, same, error, fault = (int(cell) for cell in everything.split("|")[3:7])
    assert (again + same + error, fault) == (6, 0)
