"""Trackers mark removed runs as deleted. One that fails costs a warning."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from halo_core.cli import call
from halo_core.tidy.tracker_marks import mark_deleted
from halo_core.workspace.layout import Target

TRACKER = """
from pydantic import Field

from halo_core import Tracker

class Board(Tracker):
    '''Shows runs on a board.'''

    fault: str = Field("", description="the fault")

    def open(self, run, workspace):
        raise NotImplementedError

    def mark_deleted(self, folder, workspace):
        (workspace / "marked").open("a").write(folder.name + "\\n")
        if self.fault:
            raise OSError(self.fault)
        return True
"""


@pytest.fixture
def board(made: Any, tmp_path: Path) -> Any:
    """A workspace with two runs and a suite of a tracker; the class is in a file."""
    (tmp_path / "board.py").write_text(TRACKER)
    return made


def tracking(tmp_path: Path, **options: str) -> list[dict[str, Any]]:
    return [{"use": f"file:{tmp_path / 'board.py'}:Board", **options}]


def targets(made: Any, tmp_path: Path, **options: str) -> list[Target]:
    stage = made.stage("base")
    told = tracking(tmp_path, **options)
    runs = [made.run(name, [stage], tracking=told) for name in ("toy-a1", "toy-b2")]
    suite = made.suite("toy-9f", {"a": runs[0], "b": runs[1]})
    return [Target("suite", suite), *(Target("run", run) for run in runs)]


def marked(made: Any) -> list[str]:
    file = made.root / "marked"
    return file.read_text().split() if file.exists() else []


def test_each_run_and_suite_is_marked(board: Any, tmp_path: Path) -> None:
    counts, warnings = mark_deleted(targets(board, tmp_path))
    assert warnings == []
    assert list(counts.values()) == [3]
    assert marked(board) == ["toy-9f", "toy-a1", "toy-b2"]


def test_a_tracker_that_fails_is_asked_once_and_counted(board: Any, tmp_path: Path) -> None:
    counts, (warning,) = mark_deleted(targets(board, tmp_path, fault="no route to host"))
    assert counts == {}
    assert marked(board) == ["toy-9f"]
    assert "no route to host" in warning
    assert "3 of the removed runs are not marked as deleted there" in warning


def test_a_tracker_that_is_not_installed_does_not_stop_the_removal(
    board: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = board.run("toy-a1", [board.stage("base")], tracking=[{"use": "nobody/board"}])
    assert call(["runs", "rm", "toy-a1", "--yes"]) == 0
    assert "warning: nobody/board: " in capsys.readouterr().err
    assert not run.exists()


def test_a_run_without_a_readable_record_has_no_trackers(board: Any, tmp_path: Path) -> None:
    (_, first, _) = targets(board, tmp_path)
    (first.folder / "run.json").write_text("{")
    counts, (warning,) = mark_deleted([first])
    assert counts == {}
    assert warning.startswith("toy-a1: DataError: ")
