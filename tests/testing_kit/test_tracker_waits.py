"""The test kit finds trackers that sleep in a call, join equal warnings, or say what is not so."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from pydantic import Field

from halo_core import Tracker, TrackerSession
from halo_core.testing.trackers import tracker_waits
from halo_core.testing.trackers.rules import check_events
from halo_core.testing.trackers.tracker_effects import check_effects


class Warned(Tracker):
    """Keeps the warnings of a run in a JSON file."""

    fault: str = Field(default="", description="Its mistake.")

    def open(self, run: Path, workspace: Path) -> TrackerSession:
        return Session(self.fault, workspace / "warned" / f"{run.name}.json")


class Session(TrackerSession):
    def __init__(self, fault: str, file: Path) -> None:
        self.fault, self.file = fault, file

    def handle(self, events: Sequence[Any]) -> None:
        if self.fault == "sleeps":
            time.sleep(0.02)
        if self.fault == "thread sleeps":
            thread = threading.Thread(target=time.sleep, args=(0.02,))
            thread.start()
            thread.join()
        told = json.loads(self.file.read_text("utf-8")) if self.file.is_file() else []
        for event in events:
            if event["type"] == "warning":
                said = [event["message"]]
                if self.fault != "by message":
                    said.append(event["stage"])
                if self.fault == "last":
                    told = [said]
                elif said not in told:
                    told.append(said)
        self.file.parent.mkdir(exist_ok=True)
        self.file.write_text(json.dumps(sorted(told, key=str)), "utf-8")


@pytest.mark.parametrize("fault", ["", "last"])
def test_a_tracker_that_keeps_warnings_apart_is_right(fault: str, tmp_path: Path) -> None:
    check_effects(Warned(fault=fault), tmp_path)


def test_a_tracker_that_takes_equal_warnings_of_two_stages_for_one_is_found(
    tmp_path: Path,
) -> None:
    with pytest.raises(AssertionError, match="writes the same without the warning '3 rows were"):
        check_effects(Warned(fault="by message"), tmp_path)


class Stated(Warned):
    """Keeps the state of a run, and its best checkpoint."""

    def open(self, run: Path, workspace: Path) -> TrackerSession:
        return States(self.fault, workspace / "states" / f"{run.name}.json")


class States(Session):
    def handle(self, events: Sequence[Any]) -> None:
        told = json.loads(self.file.read_text("utf-8")) if self.file.is_file() else {}
        for event in events:
            if event["type"] == "run-ended":
                told["state"] = "done" if self.fault == "done" else event["status"]
            if event["type"] == "checkpoint" and (event["best"] or self.fault == "newest"):
                told["best"] = event["step"]
        self.file.parent.mkdir(exist_ok=True)
        self.file.write_text(json.dumps(told), "utf-8")


def test_a_tracker_says_how_a_run_ended_and_which_checkpoint_is_the_best(tmp_path: Path) -> None:
    check_effects(Stated(), tmp_path)


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ("done", "the status 'failed', it says 'done'"),
        ("newest", "calls a checkpoint the best one"),
    ],
)
def test_a_tracker_that_says_something_else_is_found(fault: str, told: str, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=told):
        check_effects(Stated(fault=fault), tmp_path)


@pytest.mark.parametrize("fault", ["sleeps", "thread sleeps"])
def test_a_tracker_that_sleeps_in_handle_is_found(
    fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracker_waits, "MOST_S", 0.01)
    if fault == "thread sleeps":  # Only `handle` itself may not wait for a server.
        check_events(Warned(fault=fault), tmp_path)
        return
    with pytest.raises(AssertionError, match=r"handle\(\) of 1 events sleeps for 0.02 s"):
        check_events(Warned(fault=fault), tmp_path)
