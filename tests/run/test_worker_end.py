"""The end of a worker that is one of several: its exit code, threads and functions at exit."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import atexit, os, sys, threading, time
from pathlib import Path
from halo_core import worker

class AbortsAtTheEnd:
    def __del__(self):
        os.abort()

def work(folder):
    kept = AbortsAtTheEnd()
    kept.itself = kept  # A cycle is released only when Python ends.
    sys.modules["kept"] = kept
    atexit.register(lambda: (folder / "at-exit").touch())
    threading.Thread(target=lambda: (time.sleep(0.2), (folder / "thread").touch())).start()
    print("the last words", end="")
    return 3

worker.work = work
sys.exit(worker.main(sys.argv[1:]))
"""


@pytest.mark.parametrize("processes", [1, 2])
def test_a_rank_ends_with_its_own_code_and_without_pythons_last_part(
    tmp_path: Path, processes: int
) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path)],
        env=os.environ | {"WORLD_SIZE": str(processes), "RANK": "0"},
        capture_output=True,
        text=True,
        check=False,
    )
    # A process that works alone ends as Python ends, in which an abort would be a real fault.
    assert ended.returncode == (3 if processes == 2 else -6), ended.stderr
    if processes == 2:
        assert ended.stdout == "the last words"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["at-exit", "thread"]
