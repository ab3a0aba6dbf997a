"""The test kit finds each way in which a tracker breaks its promises."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from pydantic import Field

from halo_core.testing import check_tracker
from halo_core.tracker import StartOver, Tracker, TrackerSession


class NoteSession(TrackerSession):
    def __init__(self, options: Notes, file: Path) -> None:
        self.options, self.file = options, file

    def handle(self, events: Sequence[Mapping[str, Any]]) -> None:
        if self.options.fault == "handle":
            raise KeyError("headline")
        if self.options.fault == "always starts over":
            raise StartOver
        new = not self.file.exists()
        if new and events and events[0]["type"] != "run-started":
            raise StartOver
        self.file.write_text("noted")

    def describe(self) -> Mapping[str, object]:
        return {
            "no label": {"url": "http://notes"},
            "no JSON": {"label": "Notes", "file": self.file},
            "changes": {"label": "Notes", "session": id(self)},
        }.get(self.options.fault, {"label": "Notes", "url": "http://notes"})

    def close(self) -> None:
        if self.options.fault == "close":
            raise OSError("gone")


class Notes(Tracker):
    """Records its inputs."""

    fault: str = Field("", description="what it does wrong")

    def open(self, run: Path, workspace: Path) -> TrackerSession:
        if self.fault == "open":
            raise ConnectionError("away")
        if self.fault == "no session":
            return None  # type: ignore[return-value]
        return NoteSession(self, run / "notes.txt")

    def tell_suite(self, suite: Path, workspace: Path, status: str) -> Mapping[str, object]:
        return {"label": 3} if self.fault == "suite" else {"label": "Notes", "url": "http://notes"}

    def take_report(self, report: Path, suite: Path, workspace: Path) -> bool:
        assert (report / "report.html").is_file()
        return None if self.fault == "report" else True  # type: ignore[return-value]

    def has_run(self, run: Path, workspace: Path) -> bool:
        there = (run / "notes.txt").exists()
        return {"has all": True, "has none": False}.get(self.fault, there)

    def mark_deleted(self, folder: Path, workspace: Path) -> bool:
        if self.fault != "undeleted":
            (folder / "notes.txt").unlink(missing_ok=True)
        return None if self.fault == "deletes none" else True  # type: ignore[return-value]

    def compare_runs(self, runs: Sequence[Path], workspace: Path) -> Mapping[str, object]:
        absent = ["x"] if self.fault == "absent" else [str(runs[-1])]
        return {"label": "Notes", "url": "http://notes", "absent": absent}


class Silent(Tracker):
    """Carries events and offers nothing more."""

    def open(self, run: Path, workspace: Path) -> TrackerSession:
        return Dropping()


class Dropping(TrackerSession):
    def handle(self, events: Sequence[Mapping[str, Any]]) -> None:
        pass


@pytest.mark.parametrize("tracker", [Notes(), Silent()])
def test_a_tracker_that_keeps_the_rules_passes(tracker: Tracker, tmp_path: Path) -> None:
    check_tracker(tracker, tmp_path)


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ("open", "open() of the first session raised ConnectionError: away"),
        ("no session", "open() returned a NoneType; expected a subclass of TrackerSession"),
        ("handle", "handle() of 1 events raised KeyError: 'headline'"),
        (
            "always starts over",
            "handle() raised StartOver, although it was given the run's first events",
        ),
        ("no label", "describe() gave no 'label', its name for people"),
        ("no JSON", "Notes.describe() returned 'file': a PosixPath that is not JSON"),
        ("changes", "of the same run"),
        ("close", "close() of the first session raised OSError: gone"),
        ("suite", "Notes.tell_suite() returned 'label': a int; expected a text"),
        ("report", "take_report() gave None; expected a bool"),
        ("has all", "has_run() before the first event gave True; expected False, or None"),
        ("has none", "has_run() of a run whose events it took gave False; expected True, or None"),
        ("undeleted", "has_run() after mark_deleted() gave True; expected False, or None"),
        ("deletes none", "mark_deleted() gave None; expected a bool"),
        ("absent", "compare_runs() gave ['x'] as 'absent'; expected folders of runs it was asked"),
    ],
)
def test_a_fault_is_found(fault: str, told: str, tmp_path: Path) -> None:
    with pytest.raises(AssertionError) as caught:
        check_tracker(Notes(fault=fault), tmp_path)
    assert told in str(caught.value)


def test_the_made_workspace_has_two_runs_of_one_suite(tmp_path: Path) -> None:
    check_tracker(Silent(), tmp_path)
    runs = sorted(path.parent for path in tmp_path.glob("runs/*/run.json"))
    assert [run.name for run in runs] == ["toy-aaaaaa", "toy-aaaaaab"]
    record = json.loads((tmp_path / "suites" / "toy-abcdef" / "suite.json").read_text())
    assert [cell["run"] for cell in record["cells"]] == [f"runs/{run.name}" for run in runs]
