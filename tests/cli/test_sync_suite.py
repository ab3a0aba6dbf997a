"""`halo sync SUITE`: every cell's run, and then the suite as a whole."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from halo_core.cli import call
from halo_core.events import EventLog
from halo_core.workspace.records import SUITE, SuiteCell, SuiteRecord

TRACKER = '''
from pydantic import Field

from halo_core.tracker import Tracker, TrackerSession


class Session(TrackerSession):
    def __init__(self, run, fails):
        self.run, self.fails = run, fails

    def handle(self, events):
        if self.fails == self.run.name:
            raise ConnectionError("no answer from http://ann:sesame@host")
        with (self.run / "seen.txt").open("a") as file:
            file.write("".join(event["type"] + "\\n" for event in events))

    def describe(self):
        return {}

    def close(self):
        pass


class Suites(Tracker):
    """Writes the status and the events to files."""

    fails: str = Field("", description="the run, or suite, that it fails for")

    def open(self, run, workspace):
        return Session(run, self.fails)

    def tell_suite(self, suite, workspace, status):
        if self.fails == "suite":
            raise ConnectionError("no answer from http://ann:sesame@host")
        (suite / "told.txt").write_text(status)
        links = {"cells": f"http://host/{suite.name}/cells"}
        return {"label": "Board", "url": f"http://host/{suite.name}", "links": links, "pin": 7}
'''


class Suite:
    """A workspace `ws` with a suite of two cells, and a cell that was not started."""

    def __init__(self, root: Path) -> None:
        self.workspace = root / "ws"
        self.folder = self.workspace / "suites" / "toy-abcdef"
        self.folder.mkdir(parents=True)
        (root / "tracker.py").write_text(TRACKER)
        self.use = f"file:{root / 'tracker.py'}:Suites"
        for name in ("toy-dpo-1", "toy-kto-2"):
            self.add(name)
        self.write(("dpo", "toy-dpo-1", "computed"), ("kto", "toy-kto-2", "computed"))

    def add(self, name: str) -> None:
        run = self.workspace / "runs" / name
        run.mkdir(parents=True)
        self.track(name)
        log = EventLog(run / "events.jsonl")
        log.append("run-started", name="toy")
        log.append("run-ended", status="done", headline="", error=None)

    def track(self, name: str, **options: Any) -> None:
        tree = {"tracking": [{"use": self.use, **options}]}
        (self.workspace / "runs" / name / "run.json").write_text(json.dumps(tree))

    def write(self, *cells: tuple[str, str | None, Any]) -> None:
        listed = [
            SuiteCell(
                id=id_, axes={}, run=f"runs/{run}" if run else None, status=status, error=None
            )
            for id_, run, status in cells
        ]
        SUITE.write(self.folder, SuiteRecord(name="toy", axes={}, cells=listed))

    def seen(self, name: str) -> list[str]:
        path = self.workspace / "runs" / name / "seen.txt"
        return path.read_text().split() if path.exists() else []


@pytest.fixture
def suite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Suite:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("halo_core.tracking.send.time.sleep", lambda seconds: None)
    return Suite(tmp_path)


Captured = pytest.CaptureFixture[str]


@pytest.mark.parametrize("name", ["toy-abcdef", "toy", "ws/suites/toy-abcdef"])
def test_every_cell_is_sent_and_then_the_suite(suite: Suite, name: str, capsys: Captured) -> None:
    assert call(["sync", name, "--workspace", "ws", "--json"]) == 0
    for run in ("toy-dpo-1", "toy-kto-2"):
        assert suite.seen(run) == ["run-started", "run-ended"]
    assert (suite.folder / "told.txt").read_text() == "done"
    told = json.loads(capsys.readouterr().out)
    assert told["suite"] == "toy-abcdef"
    assert told["trackers"] == {
        suite.use: {
            "label": "Board",
            "url": "http://host/toy-abcdef",
            "links": {"cells": "http://host/toy-abcdef/cells"},
            "pin": 7,
        }
    }
    record = json.loads((suite.folder / "suite.json").read_text())
    assert record["trackers"] == told["trackers"]
    assert [(cell["id"], cell["run"]) for cell in told["cells"]] == [
        ("dpo", "toy-dpo-1"),
        ("kto", "toy-kto-2"),
    ]
    assert [cell["sent"][0]["events"] for cell in told["cells"]] == [2, 2]


def test_people_read_a_line_per_cell_and_the_links(suite: Suite, capsys: Captured) -> None:
    assert call(["sync", "toy", "--workspace", "ws"]) == 0
    dpo, kto, link, more = capsys.readouterr().out.splitlines()
    assert dpo.startswith("dpo: ")
    assert kto.endswith(": 2 events sent")
    assert link == "  Board   http://host/toy-abcdef"
    assert more == "          cells: http://host/toy-abcdef/cells"


def test_a_run_of_the_whole_name_comes_before_a_suite_that_begins_so(suite: Suite) -> None:
    suite.add("toy")
    assert call(["sync", "toy", "--workspace", "ws"]) == 0
    assert suite.seen("toy") == ["run-started", "run-ended"]
    assert suite.seen("toy-dpo-1") == []


@pytest.mark.parametrize(("status", "told"), [("pending", "pending"), ("failed", "failed")])
def test_the_suites_status_is_that_of_its_record(suite: Suite, status: str, told: str) -> None:
    suite.write(("dpo", "toy-dpo-1", "computed"), ("ppo", None, status))
    assert call(["sync", "toy", "--workspace", "ws"]) == 0
    assert (suite.folder / "told.txt").read_text() == told


def test_a_cell_that_cannot_be_sent_keeps_none_of_the_others(
    suite: Suite, capsys: Captured
) -> None:
    suite.track("toy-dpo-1", fails="toy-dpo-1")
    assert call(["sync", "toy", "--workspace", "ws"]) == 1
    assert suite.seen("toy-kto-2") == ["run-started", "run-ended"]
    assert (suite.folder / "told.txt").read_text() == "done"
    told = capsys.readouterr().err
    assert "dpo: " in told
    assert "did not take all events: PluginError: " in told
    assert "Suites.handle() raised ConnectionError: no answer from http://***@host" in told
    assert "1 of 2 cells failed." in told


def test_a_cell_that_is_running_is_left_to_its_process(suite: Suite, capsys: Captured) -> None:
    with FileLock(suite.workspace / "runs" / ".toy-kto-2.lock"):
        assert call(["sync", "toy", "--workspace", "ws"]) == 2
    assert suite.seen("toy-dpo-1") == ["run-started", "run-ended"]
    assert "kto: this run is still running and sends its events itself" in capsys.readouterr().err


def test_a_parent_that_cannot_be_told_is_an_error(suite: Suite, capsys: Captured) -> None:
    suite.track("toy-dpo-1", fails="suite")
    assert call(["sync", "toy", "--workspace", "ws"]) == 1
    told = capsys.readouterr().err
    assert f"the suite, {suite.use}: PluginError: " in told
    assert "Suites.tell_suite() raised ConnectionError: no answer from http://***@host" in told


def test_a_tracker_that_is_broken_ends_sync_with_3(suite: Suite, capsys: Captured) -> None:
    path = suite.workspace.parent / "tracker.py"
    broken = path.read_text().replace("raise ConnectionError(", "raise KeyError(")
    assert broken.count("raise KeyError(") == 2
    path.write_text(broken)
    for fails in ("toy-dpo-1", "suite"):
        suite.track("toy-dpo-1", fails=fails)
        assert call(["sync", "toy", "--workspace", "ws"]) == 3
        assert "raised KeyError: " in capsys.readouterr().err


def test_a_suite_without_a_begun_cell_has_nothing_to_send(suite: Suite, capsys: Captured) -> None:
    suite.write(("ppo", None, "pending"), ("gone", "gone", "computed"))
    assert call(["sync", "toy", "--workspace", "ws"]) == 2
    assert "toy-abcdef: no cell of this suite was started, so there is nothing to send" in (
        capsys.readouterr().err
    )


def test_a_record_that_is_none_names_the_file(suite: Suite, capsys: Captured) -> None:
    (suite.folder / "suite.json").write_text('{"cells": [{}]}')
    assert call(["sync", "toy", "--workspace", "ws"]) == 2
    assert (
        "suite.json: got '{\"cells\": [{}]}' without name, axes, cells[0].id, cells[0].axes, "
        "cells[0].run, cells[0].status, cells[0].error; expected a JSON object with name, axes and "
        "cells. Remove it; halo run SUITE writes it again"
    ) in capsys.readouterr().err
