"""The launcher of several processes: exit codes, signals, and no traceback for anyone."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from halo_methods.components import SFT
from halo_trainer.train.options import Train

PROCESS = """\
import os, pathlib, signal, sys, time

import psutil

folder = pathlib.Path(__file__).parent
rank = os.environ["RANK"]
asked = []


def stop(number, frame):
    asked.append(number)
    (folder / f"told-{rank}").touch()


for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, stop)
(folder / f"started-{rank}").touch()
manner = sys.argv[1]
if manner.startswith("exit-"):
    sys.exit(int(manner.removeprefix("exit-")))
if manner in ("killed", "killed-and-lost") and rank == "1":
    while manner == "killed-and-lost" and not (folder / "started-0").exists():
        time.sleep(0.02)
    (folder / "killed.tmp").write_text(str(os.getpid()))
    (folder / "killed.tmp").rename(folder / "killed")
    os.kill(os.getpid(), signal.SIGKILL)
if manner == "killed-and-lost":
    while not (folder / "killed").exists():
        time.sleep(0.001)
    killed = psutil.Process(int((folder / "killed").read_text()))
    while killed.is_running() and killed.status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.001)
    sys.exit(1)
while manner == "stubborn" or not asked:
    time.sleep(0.02)
(folder / f"asked-{rank}").write_text(str(asked[0]))
sys.exit(128 + asked[0])
"""


def start(folder: Path, manner: str) -> subprocess.Popen[str]:
    script = folder / "process.py"
    script.write_text(PROCESS)
    command = Train(data="d", loss=SFT(), processes=2, device="cpu").command(folder)
    assert command is not None
    launcher = command[: command.index("halo_core.worker") - 1]
    return subprocess.Popen(
        [*launcher, str(script), manner],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def wait_for(folder: Path, what: str = "started") -> None:
    """Waits until both processes have made their file of a name."""
    for _ in range(1200):
        if len(list(folder.glob(f"{what}-*"))) == 2:
            return
        time.sleep(0.05)
    raise TimeoutError(f"not both of the processes have {what}")


@pytest.mark.parametrize(
    ("manner", "code"), [("exit-0", 0), ("exit-3", 3), ("killed", 137), ("killed-and-lost", 137)]
)
def test_the_launcher_returns_the_first_code_that_is_not_0_and_says_nothing(
    manner: str, code: int, tmp_path: Path
) -> None:
    process = start(tmp_path, manner)
    said, _ = process.communicate(timeout=120)
    assert (process.returncode, said) == (code, "")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_reaches_every_process_and_the_launcher_says_nothing(
    number: signal.Signals, tmp_path: Path
) -> None:
    process = start(tmp_path, "wait")
    wait_for(tmp_path)
    process.send_signal(number)
    said, _ = process.communicate(timeout=120)
    assert (process.returncode, said) == (128 + number, "")
    assert [(tmp_path / f"asked-{rank}").read_text() for rank in (0, 1)] == [str(int(number))] * 2


def test_a_second_signal_kills_the_processes(tmp_path: Path) -> None:
    process = start(tmp_path, "stubborn")
    wait_for(tmp_path)
    process.send_signal(signal.SIGINT)
    wait_for(tmp_path, "told")
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    said, _ = process.communicate(timeout=20)
    assert (process.returncode, said) == (143, "")


def test_a_launcher_that_fails_says_so_in_one_line(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "halo_trainer.launch", "--processes", "-2", "-m", "nothing"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("the launcher failed: ")
    assert done.stderr.count("\n") == 1
