"""The launcher of several processes: exit codes, signals, and no traceback for anyone."""

from __future__ import annotations

import multiprocessing
import os
import runpy
import signal
import sys
import time
from collections.abc import Sequence
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


class Launched:
    """A launcher in a process of its own, in a session of its own, and what it prints."""

    def __init__(self, command: Sequence[str], said: Path) -> None:
        python, option, module, *arguments = command
        assert (python, option) == (sys.executable, "-m")
        self.said = said
        self.process = LAUNCHERS.Process(target=become, args=(module, arguments, str(said)))
        self.process.start()

    def end(self, timeout_s: float) -> tuple[int, str]:
        """Waits for the end, and returns the exit code and what was printed."""
        self.process.join(timeout_s)
        assert self.process.exitcode is not None
        return self.process.exitcode, self.said.read_text()

    def send(self, number: signal.Signals) -> None:
        assert self.process.pid is not None
        os.kill(self.process.pid, number)


# To import torch and accelerate takes two seconds. One process does it, and it forks the launchers:
# it has a single thread, other than this process.
LAUNCHERS = multiprocessing.get_context("forkserver")
LAUNCHERS.set_forkserver_preload(["accelerate.commands.launch", "halo_trainer.launch"])


def become(module: str, arguments: Sequence[str], said: str) -> None:
    """Turns this process into `python -m MODULE ARGUMENTS`."""
    os.setsid()
    printed = os.open(said, os.O_WRONLY | os.O_CREAT)
    for number in (1, 2):
        os.dup2(printed, number)
    sys.argv = [module, *arguments]
    sys.modules.pop(module, None)
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def start(folder: Path, manner: str) -> Launched:
    script = folder / "process.py"
    script.write_text(PROCESS)
    command = Train(data="d", loss=SFT(), processes=2, device="cpu").command(folder)
    assert command is not None
    launcher = command[: command.index("halo_core.worker") - 1]
    return Launched([*launcher, str(script), manner], folder / "said")


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
    assert process.end(120) == (code, "")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_reaches_every_process_and_the_launcher_says_nothing(
    number: signal.Signals, tmp_path: Path
) -> None:
    process = start(tmp_path, "wait")
    wait_for(tmp_path)
    process.send(number)
    assert process.end(120) == (128 + number, "")
    assert [(tmp_path / f"asked-{rank}").read_text() for rank in (0, 1)] == [str(int(number))] * 2


def test_a_second_signal_kills_the_processes(tmp_path: Path) -> None:
    process = start(tmp_path, "stubborn")
    wait_for(tmp_path)
    process.send(signal.SIGINT)
    wait_for(tmp_path, "told")
    assert process.process.is_alive()
    process.send(signal.SIGTERM)
    assert process.end(120) == (143, "")


def test_a_launcher_that_fails_says_so_in_one_line(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "halo_trainer.launch", "--processes", "-2", "-m", "nothing"]
    code, said = Launched(command, tmp_path / "said").end(120)
    assert code == 1
    assert said.startswith("the launcher failed: ")
    assert said.count("\n") == 1
