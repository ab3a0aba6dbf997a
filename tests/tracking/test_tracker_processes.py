"""Each tracker has a process of its own, and an early end of it never fails the run."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from halo_core.events import EventLog
from halo_core.plugins.discovery import discover
from halo_core.spec.document import Document
from halo_core.spec.mistakes import Mistakes
from halo_core.spec.resolved import Resolved
from halo_core.spec.resolver import Resolver
from halo_core.tracking import processes
from halo_core.tracking.carrier import not_everything
from halo_core.tracking.processes import TrackerProcesses

TRACKER = """\
import json, os, signal, time
from pydantic import Field
from halo_core import Tracker, TrackerSession
from halo_core.tracking.run_process import run_process


class Session(TrackerSession):
    def __init__(self, run, does):
        self.run, self.does = run, does

    def handle(self, events):
        if self.does == "hangs":
            time.sleep(600)
        if self.does == "dies" and not (self.run / "died").exists():
            (self.run / "died").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        if self.does == "leaves":
            os._exit(0)
        if self.does == "prints":
            print("hello password=sesame")
        with (self.run / "seen.jsonl").open("a") as file:
            for event in events:
                file.write(json.dumps(event) + "\\n")

    def describe(self):
        ignored = signal.getsignal(signal.SIGINT) is signal.SIG_IGN
        return {"process": os.getpid(), "of": run_process(), "ignored": ignored,
                "group": os.getpgid(0)}


class Board(Tracker):
    does: str = Field("", description="what it does")

    def open(self, run, workspace):
        return Session(run, self.does)
"""


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "ws" / "runs" / "toy"
    folder.mkdir(parents=True)
    (tmp_path / "board.py").write_text(TRACKER)
    monkeypatch.setattr(processes, "RESTART_S", 0.01)
    log = EventLog(folder / "events.jsonl")
    log.append("run-started", name="toy")
    log.append("metrics", stage="kto", step=1, metrics={})
    return folder


def board(run: Path, does: str = "") -> Resolved:
    tree = {"use": f"file:{run.parents[2] / 'board.py'}:Board", "does": does}
    mistakes = Mistakes(Document("spec.yaml", run, {"tracking": [tree]}))
    resolved = Resolver(discover(), mistakes).resolve("tracker", tree, ("tracking", 0))
    mistakes.raise_if_any()
    assert resolved is not None
    return resolved


def seen(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "seen.jsonl").open()]


def track(run: Path, does: str, deadline_s: float = 120) -> tuple[TrackerProcesses, list[str]]:
    told: list[str] = []
    tracking = TrackerProcesses([board(run, does)], run, run.parents[1], told.append, told.append)
    with tracking:
        EventLog(run / "events.jsonl").append("run-ended", status="done", headline="", error=None)
        tracking.close(deadline_s)
    return tracking, told


def test_a_tracker_works_in_a_process_of_its_own_that_ctrl_c_does_not_reach(run: Path) -> None:
    tracking, told = track(run, "prints")
    assert [event["type"] for event in seen(run)] == ["run-started", "metrics", "run-ended"]
    (about,) = tracking.describe().values()
    assert about["process"] != os.getpid() == about["of"]
    assert about["ignored"]
    assert about["group"] == about["process"]
    assert {line.partition("Board: ")[2] for line in told} == {"hello password=***"}, told


def test_a_process_that_is_killed_is_told_and_started_again_and_nothing_is_lost(run: Path) -> None:
    _, told = track(run, "dies")
    assert [event["type"] for event in seen(run)] == ["run-started", "metrics", "run-ended"]
    (warning,) = told
    assert warning.endswith(
        "Board: the process of the tracker was ended by SIGKILL, signal 9; it was killed, "
        "possibly because memory ran out; training continues; halo starts it again"
    )


def test_a_process_that_said_itself_that_events_are_missing_is_not_repeated(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    late = not_everything("Board", run)

    def says_it_and_is_killed(process: Any) -> None:
        process._take({"warning": late})

    monkeypatch.setattr(processes._TrackerProcess, "run", says_it_and_is_killed)
    told: list[str] = []
    with TrackerProcesses([board(run)], run, run.parents[1], told.append, told.append) as tracking:
        monkeypatch.setattr(tracking._processes[0], "tracker", "Board")
        tracking.close(0.0)
    assert told == [late]


def test_the_command_for_the_rest_can_be_typed_whatever_the_folder_is_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    warning = not_everything("Board", tmp_path / "it's here; rm x" / "toy")
    command = warning.partition("; halo sync ")[2].removesuffix(" sends the rest")
    assert shlex.split(command) == ["it's here; rm x/toy"]


def test_a_run_that_ends_between_a_crash_and_the_next_start_ends_as_usual(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "RESTART_S", 600.0)
    told: list[str] = []
    tracking = TrackerProcesses([board(run, "dies")], run, run.parents[1], told.append, told.append)
    with tracking:
        wait_until(lambda: bool(told))
        EventLog(run / "events.jsonl").append("run-ended", status="done", headline="", error=None)
        tracking.close(120)
    assert [event["type"] for event in seen(run)] == ["run-started", "metrics", "run-ended"]
    assert len(told) == 1


@pytest.mark.slow
def test_a_process_that_leaves_each_time_is_told_and_the_rest_can_be_sent(run: Path) -> None:
    _, told = track(run, "leaves")
    assert [("exit code 0" in line, "starts it again" in line) for line in told[:3]] == [
        (True, True),
        (True, True),
        (True, False),
    ]
    assert told[3].endswith(f"halo sync {run} sends the rest")
    assert len(told) == 4


@pytest.mark.slow
def test_a_process_that_hangs_is_ended_after_the_deadline(run: Path) -> None:
    tracking, told = track(run, "hangs", deadline_s=3.0)
    assert told[-1].endswith(f"halo sync {run} sends the rest")
    assert len(told) == 1
    assert tracking.describe() == {}


KILLED = """\
import os, sys, time
from pathlib import Path
sys.path.insert(0, {tests!r})
from test_tracker_processes import board
from halo_core.tracking.processes import TrackerProcesses

run = Path({run!r})
with TrackerProcesses([board(run)], run, run.parents[1], print, print) as tracking:
    print("ready", flush=True)
    time.sleep(600)
"""


@pytest.mark.slow
def test_the_process_of_a_killed_run_reports_the_end_and_ends(run: Path) -> None:
    script = KILLED.format(tests=str(Path(__file__).parent), run=str(run))
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as controller:
        assert controller.stdout is not None
        assert controller.stdout.readline() == b"ready\n"
        wait_until(lambda: (run / "seen.jsonl").exists())
        controller.send_signal(signal.SIGKILL)
        controller.wait()
    wait_until(lambda: seen(run)[-1]["type"] == "run-ended")
    assert seen(run)[-1]["status"] == "failed"
    assert seen(run)[-1]["error"] == "the process ended without reporting its end"
    # Its lock is free only when the process is at its end.
    from halo_core.workspace.lock import sender_lock

    sender_lock(run, f"file:{run.parents[2] / 'board.py'}:Board").acquire(timeout=120)


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)
