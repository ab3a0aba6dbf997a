"""A rank that a signal stopped is named once, with its process and its state."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from halo_core.display.board import Board
from halo_core.display.surfaces import surface_for_stderr
from halo_core.errors import DiskError
from halo_core.events import EventLog, read_events
from halo_core.run.stage_runner import StageRunner
from halo_core.run.stopped_ranks import StoppedRanks
from halo_core.run.workers import run_in_workers
from halo_core.stage import StopFlag
from halo_core.workspace.records import DONE

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")


@pytest.fixture
def launcher() -> Iterator[tuple[int, int]]:
    """A program that has started a rank, and the rank."""
    rank = "RANK=1 WORLD_SIZE=2 sleep 60 & echo $!; wait"
    with subprocess.Popen(["sh", "-c", rank], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        child = int(process.stdout.readline())
        yield process.pid, child
        os.kill(child, signal.SIGKILL)


def look_for(ranks: StoppedRanks, seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        ranks.look()
        time.sleep(0.005)


def test_a_stopped_rank_is_named_once_until_it_is_stopped_again(launcher: tuple[int, int]) -> None:
    program, rank = launcher
    told: list[str] = []
    ranks = StoppedRanks(program, told.append, after_s=0.15)
    look_for(ranks, 0.3)
    assert told == []  # Both sleep, as all ranks do that wait for another one.
    for count in (1, 2):
        os.kill(rank, signal.SIGSTOP)
        look_for(ranks, 0.6)
        assert len(told) == count
        os.kill(rank, signal.SIGCONT)
        look_for(ranks, 0.3)
    assert told[0].startswith(
        f"the stage waits for rank 1 of 2 (process {rank} on {socket.gethostname()}), which has "
        "not worked for 0 s: its state is T, so a signal such as SIGSTOP has stopped it; "
        f"kill -CONT {rank} lets it continue"
    )


def test_a_stopped_launcher_is_named_without_a_rank(launcher: tuple[int, int]) -> None:
    program, _ = launcher
    told: list[str] = []
    os.kill(program, signal.SIGSTOP)
    look_for(StoppedRanks(program, told.append, after_s=0.02), 0.2)
    os.kill(program, signal.SIGCONT)
    (sentence,) = told
    assert f"waits for process {program} on " in sentence


def test_a_process_that_has_ended_is_no_error() -> None:
    process = subprocess.Popen(["true"])
    process.wait()
    look_for(StoppedRanks(process.pid, pytest.fail, after_s=0.01), 0.05)


def test_a_process_that_works_between_two_waits_for_a_disk_is_not_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ticks = iter(range(10_000))
    monkeypatch.setattr("halo_core.run.stopped_ranks._state", lambda _: ("D", next(ticks)))
    look_for(StoppedRanks(os.getpid(), pytest.fail, after_s=0.02), 0.2)
    told: list[str] = []
    monkeypatch.setattr("halo_core.run.stopped_ranks._state", lambda _: ("D", 7))
    look_for(StoppedRanks(os.getpid(), told.append, after_s=0.02), 0.2)
    assert "state is D, so it waits for a disk or a network file system" in told[0]


def runner_of(log: Any, shown: list[str]) -> Any:
    runner: Any = StageRunner.__new__(StageRunner)
    runner._board, runner._log = SimpleNamespace(warn=shown.append), log
    return runner


def test_a_stopped_rank_is_shown_and_is_an_event_of_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("halo_core.run.workers.StoppedRanks", partial(StoppedRanks, after_s=0.1))
    stage: Any = SimpleNamespace(id="kto", folder=tmp_path / "stage")
    stage.folder.mkdir()
    DONE.write(stage.folder, {"metrics": {}, "headline": "", "files": {}})
    shown: list[str] = []
    path = tmp_path / "events.jsonl"
    runner = runner_of(EventLog(path), shown)

    def warn(message: str) -> None:
        runner._warn_of(stage, message)
        os.kill(int(message.split("process ")[1].split()[0]), signal.SIGCONT)

    stops = "import os, signal; os.kill(os.getpid(), signal.SIGSTOP)"
    command = [sys.executable, "-c", stops]
    run_in_workers(
        stage, command, stop=StopFlag(), board=Board(surface_for_stderr()), warn=warn, go_on=""
    )
    (event,) = (event for event, _ in read_events(path))
    assert (event["type"], event["stage"]) == ("warning", "kto")
    assert "its state is T, so a signal such as SIGSTOP has stopped it" in event["message"]
    assert shown == [f"kto: {event['message']}"]
    assert not (stage.folder / "events.jsonl").exists()


def test_a_full_disk_hides_no_stopped_rank_and_does_not_end_the_stage() -> None:
    def refuse(*_: object, **__: object) -> None:
        raise DiskError("the disk is full")

    shown: list[str] = []
    stage: Any = SimpleNamespace(id="kto")
    runner_of(SimpleNamespace(append=refuse), shown)._warn_of(stage, "it stands still")
    assert shown == ["kto: it stands still"]
