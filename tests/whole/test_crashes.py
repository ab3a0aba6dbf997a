"""Short forms of `benchmarks/kill.py` and `benchmarks/damage.py`: killed runs, damaged files."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks"
KILLS = ["--changes", "4", "--kills", "2", "--two", "0", "--seed", "3"]
CASES = ["--cases", "6", "--seed", "1", "--worlds", "finished,training"]
BOTH = """
import contextlib, io, json, sys
import damage, kill

for script, arguments in ((kill, sys.argv[1]), (damage, sys.argv[2])):
    with contextlib.redirect_stdout(io.StringIO()) as said:
        try:
            code = script.main(json.loads(arguments))
        except SystemExit as error:
            code = error.code
    print(json.dumps([code, said.getvalue()]))
"""

pytestmark = [
    pytest.mark.slow(seconds=15),
    pytest.mark.timeout(600),
    pytest.mark.skipif(sys.platform != "linux", reason="finds processes and files under /proc"),
]


@pytest.fixture(scope="module")
def ends() -> list[tuple[int, str]]:
    """The exit codes of both, and what they say.

    They share the process that imports what a run imports, which takes 7 s.
    """
    arguments = map(json.dumps, (KILLS, CASES))
    done = subprocess.run(
        [sys.executable, "-c", BOTH, *arguments],
        cwd=FOLDER,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_killed_runs_go_on_and_give_the_same_results(ends: list[tuple[int, str]]) -> None:
    code, said = ends[0]
    assert code == 0, said
    assert "| before a change of a file | 4 | 4 | 0 | 0 |" in said


def test_damaged_files_are_made_again_or_named(ends: list[tuple[int, str]]) -> None:
    code, said = ends[1]
    assert code == 0, said
    (everything,) = [line for line in said.splitlines() if line.startswith("| all |")]
    again, same, error, fault = (int(cell) for cell in everything.split("|")[3:7])
    assert (again + same + error, fault) == (6, 0)
