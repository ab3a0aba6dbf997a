"""A tracker's mistake causes a warning that names its own line, and never stops the run."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from halo_core.cli import call
from halo_core.errors import PluginError
from halo_core.redact import one_line

TRACKER = """\
from halo_core import Tracker, TrackerSession


class Session(TrackerSession):
    def __init__(self, run):
        self.run = run

    def handle(self, events):
        pass

    def describe(self):
        return {"label": "Board", "url": f"http://board/{self.run.name}"}


class Board(Tracker):
    def open(self, run, workspace):
        return Session(run)
"""
Run = Callable[[str, str], tuple[dict[str, Any], str]]


@pytest.fixture
def run(spec_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> Run:
    """Runs a spec with a tracker with one replaced part; returns its JSON and the messages."""
    monkeypatch.chdir(tmp_path)

    def go(old: str, new: str) -> tuple[dict[str, Any], str]:
        assert old in TRACKER
        file = tmp_path / "board.py"
        file.write_text(TRACKER.replace(old, new))
        text = spec_file.read_text() + f'tracking: [{{use: "file:{file}:Board"}}]\n'
        spec_file.write_text(text)
        assert call(["run", str(spec_file), "--json"]) == 0
        found = capsys.readouterr()
        return json.loads(found.out), found.err

    return go


def test_what_a_tracker_says_ends_in_the_json_and_in_run_json(run: Run) -> None:
    found, told = run("pass", "pass")
    (said,) = found["trackers"].values()
    assert said == {"label": "Board", "url": f"http://board/{found['run']}"}
    record = json.loads((Path(found["folder"]) / "run.json").read_text())
    assert record["trackers"] == found["trackers"]
    assert "Board" not in told


@pytest.mark.parametrize(
    ("old", "new", "what", "line"),
    [
        ("return Session(run)", "1 / 0", "Board.open() raised ZeroDivisionError", 17),
        (
            "return Session(run)",
            "return 3",
            "Board.open() returned a int; expected a subclass of TrackerSession",
            16,
        ),
        ("pass", "events[10**9]", "Board.handle() raised IndexError", 9),
        ("pass", "raise SystemExit(2)", "SystemExit: 2", None),
        (
            'return {"label"',
            'return [""], {"label"',
            "Board.describe() returned a tuple; expected a mapping",
            15,
        ),
        ("http://board/", "{self.gone}", "Board.describe() raised AttributeError", 12),
        ("return Session(run)", "return Session(3)", "Board.describe() raised AttributeError", 12),
    ],
)
def test_a_fault_of_a_tracker_is_told_at_its_line_and_the_run_is_done(
    run: Run, tmp_path: Path, old: str, new: str, what: str, line: int | None
) -> None:
    found, told = run(old, new)
    assert [stage["status"] for stage in found["stages"]] == ["computed"] * 3
    assert what in told
    if line is not None:
        assert f"{tmp_path / 'board.py'}:{line}: " in told
    assert "internal error" not in told


def test_an_error_of_several_lines_still_names_the_distribution(tmp_path: Path) -> None:
    error = PluginError("x/y.handle() raised E: first\nsecond (x 1.0)", location="y.py:3")
    assert one_line(error) == "PluginError: y.py:3: x/y.handle() raised E: first second (x 1.0)"
    assert one_line(OSError("first\nsecond")) == "OSError: first"


def test_a_tracker_that_cannot_describe_itself_keeps_what_it_said_before(
    halo: Callable[..., Any], spec_file: Path, tmp_path: Path
) -> None:
    file = tmp_path / "board.py"
    spec_file.write_text(spec_file.read_text() + f'tracking: [{{use: "file:{file}:Board"}}]\n')
    file.write_text(TRACKER)
    before = halo("run", str(spec_file), "--json").json
    file.write_text(TRACKER.replace('return {"label"', 'raise OSError("away")\n        {"label"'))
    after = halo("run", str(spec_file), "--json")
    assert after.json["trackers"] == {}
    assert "Board.describe() raised OSError: away; its links are not shown" in after.err
    record = json.loads((Path(before["folder"]) / "run.json").read_text())
    assert record["trackers"] == before["trackers"]
