"""No process outlives the one that started it, however that one ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import psutil
import pytest

from halo_core import parent_death
from halo_core.parent_death import leave_after
from halo_core.supervised import run_supervised, supervised, supervised_fork

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux adopts orphans")

_numbers = count(1)


@pytest.fixture
def mark() -> Iterator[str]:
    """The seconds that made processes sleep. No other process has this number in its command."""
    seconds = f"{os.getpid()}.{next(_numbers)}"
    yield seconds
    for process in sleepers(seconds):
        process.kill()


def sleepers(mark: str) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter(["cmdline"]):
        if mark in (process.info["cmdline"] or []):
            found.append(process)
    return found


def wait_for(holds: Callable[[], object]) -> None:
    end = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.02)


def family(mark: str) -> list[str]:
    """Returns a program with a child, and a grandchild in a session of its own."""
    return ["/bin/sh", "-c", f"setsid sleep {mark} & sleep {mark} & sleep {mark}"]


def killed(start: Callable[[], object], mark: str) -> None:
    """Kills a process outright while what it started lives, and waits until that is gone."""
    starter = os.fork()
    if not starter:
        try:
            start()
        finally:
            os._exit(0)
    try:
        wait_for(lambda: len(sleepers(mark)) == 3)
    finally:
        os.kill(starter, signal.SIGKILL)
        os.waitpid(starter, 0)
    wait_for(lambda: not sleepers(mark))


def test_a_program_and_its_processes_end_with_a_killed_starter(mark: str) -> None:
    killed(lambda: run_supervised(family(mark)), mark)


def test_a_fork_and_its_processes_end_with_a_killed_starter(mark: str, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()

    def start() -> None:
        def work() -> None:
            subprocess.run(family(mark), check=False)

        with supervised_fork(work, grace_s=0.0, after=folder.rmdir) as child:
            os.waitpid(child, 0)

    killed(start, mark)
    wait_for(lambda: not folder.exists())


def test_what_a_program_leaves_ends_with_it(mark: str) -> None:
    done = run_supervised(["/bin/sh", "-c", f"setsid sleep {mark} & exit 5"])
    assert (done.returncode, sleepers(mark)) == (5, [])


def test_what_still_runs_ends_with_the_block(mark: str) -> None:
    with supervised(family(mark)):
        wait_for(lambda: len(sleepers(mark)) == 3)
    assert sleepers(mark) == []


def test_a_killed_supervisor_takes_the_program_with_it(mark: str) -> None:
    with supervised(["sleep", mark]) as process:
        wait_for(lambda: sleepers(mark))
        process.kill()
        assert process.wait() == -signal.SIGKILL
        wait_for(lambda: not sleepers(mark))


@pytest.mark.parametrize(
    ("words", "code"),
    [("exit 0", 0), ("exit 7", 7), ("kill -TERM $$", -15), ("kill -KILL $$", -9)],
)
def test_the_supervisor_ends_as_its_program(words: str, code: int) -> None:
    assert run_supervised(["/bin/sh", "-c", words]).returncode == code


def test_a_signal_is_passed_on_and_the_output_is_that_of_the_program() -> None:
    told = "trap 'echo asked; exit 3' TERM; echo ready; while :; do sleep 0.01; done"
    with supervised(["/bin/sh", "-c", told], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGINT)  # A terminal sends it to the program itself.
        process.terminate()
        assert process.stdout.read() == "asked\n"
        assert process.wait() == 3


TIDYING = """\
trap 'echo tidying; sleep 0.3; echo tidy; exit 3' INT
trap 'echo cut; exit 4' TERM
echo ready; while :; do sleep 0.01; done
"""
"""A program that takes a moment to tidy up after a Ctrl-C, and ends at once after SIGTERM."""


def test_a_program_that_tidies_up_hears_one_ctrl_c_and_is_waited_for() -> None:
    with supervised(
        ["/bin/sh", "-c", TIDYING], tidy_s=60, stdout=subprocess.PIPE, text=True, process_group=0
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        os.killpg(process.pid, signal.SIGINT)  # The terminal's Ctrl-C does not reach it.
        process.terminate()
        process.terminate()
        assert process.stdout.readline() == "tidying\n"
    assert process.stdout.read() == "tidy\n"


def test_a_program_that_tidies_up_does_so_when_its_starter_is_killed() -> None:
    reading, writing = os.pipe()
    starter = os.fork()
    if not starter:
        try:
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # As in the background of a script.
            run_supervised(["/bin/sh", "-c", TIDYING], tidy_s=60, stdout=writing)
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as said:
        try:
            assert said.readline() == "ready\n"
        finally:
            os.kill(starter, signal.SIGKILL)
            os.waitpid(starter, 0)
        assert said.read() == "tidying\ntidy\n"


def test_a_program_that_tidies_up_too_long_is_ended(mark: str) -> None:
    slow = ["/bin/sh", "-c", f"trap '' INT; sleep {mark}"]
    with supervised(slow, tidy_s=0.1):
        wait_for(lambda: sleepers(mark))
    assert sleepers(mark) == []


def test_a_program_ignores_the_signals_that_its_starter_ignores() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as under nohup
    try:
        show = ["grep", "SigIgn", "/proc/self/status"]
        done = run_supervised(show, stdout=subprocess.PIPE, text=True)
    finally:
        signal.signal(signal.SIGHUP, before)
    ignored = int(done.stdout.split()[1], 16)
    numbers = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGPIPE, signal.SIGXFSZ)
    assert [ignored >> (number - 1) & 1 for number in numbers] == [1, 0, 0, 0, 0]


def test_work_that_raises_an_error_is_told(capfd: pytest.CaptureFixture[str]) -> None:
    def work() -> None:
        raise ValueError("no such rule")

    with supervised_fork(work) as child:
        _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 1
    assert capfd.readouterr().err == "ValueError: no such rule\n"


def test_a_program_that_cannot_be_started_is_named() -> None:
    done = run_supervised(["./nothing"], stderr=subprocess.PIPE, text=True)
    assert (done.returncode, done.stderr) == (
        127,
        "cannot start ./nothing: No such file or directory\n",
    )


def test_a_process_that_never_ends_leaves_some_time_after_its_parent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(parent_death, "POLL_S", 0.01)
    reading, writing = os.pipe()
    parent = os.fork()
    if not parent:
        try:
            if not os.fork():
                leave_after(0.1)
                os.write(writing, b"ready")
                time.sleep(120)
            assert os.read(reading, 5)
        finally:
            os._exit(0)
    os.waitpid(parent, 0)
    os.close(writing)
    begun = time.monotonic()
    assert os.read(reading, 1024) == b""  # The end of the pipe: its last writer has ended.
    os.close(reading)
    assert time.monotonic() - begun < 60
