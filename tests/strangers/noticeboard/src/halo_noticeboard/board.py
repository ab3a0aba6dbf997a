"""A notice board: a folder of the workspace with a note about each run and each suite."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import Field

from halo_core import Tracker, TrackerSession


class Board(Tracker):
    """Writes a note about each run to a notice board, which is a folder of the workspace."""

    address: str = Field(
        default="http://board.invalid", description="Address that shows the board."
    )

    def open(self, run: Path, workspace: Path) -> TrackerSession:
        """Returns a session that writes the note of a run."""
        return BoardSession(self.address, run.name, note_of(run, workspace))

    def has_run(self, run: Path, workspace: Path) -> bool:
        """Returns whether the note of a run still exists."""
        return note_of(run, workspace).is_file()

    def mark_deleted(self, folder: Path, workspace: Path) -> bool:
        """Puts the note of a run or suite under a name that says that it is deleted."""
        note = note_of(folder, workspace)
        deleted = note.with_suffix(".deleted")
        if note.is_file():
            note.rename(deleted)
        return deleted.is_file()

    def tell_suite(self, suite: Path, workspace: Path, status: str) -> Mapping[str, object]:
        """Writes the status of a suite."""
        note = note_of(suite, workspace)
        note.parent.mkdir(exist_ok=True)
        note.write_text(json.dumps({"status": status}))
        return {"label": "Board", "url": f"{self.address}/{suite.name}"}

    def compare_runs(self, runs: Sequence[Path], workspace: Path) -> Mapping[str, object]:
        """Returns the address of a page with the notes of some runs."""
        there = [run.name for run in runs if self.has_run(run, workspace)]
        absent = [str(run) for run in runs if run.name not in there]
        return {"label": "Board", "url": f"{self.address}/{'+'.join(there)}", "absent": absent}


class BoardSession(TrackerSession):
    """Writes the headline of each stage to the note of one run.

    Args:
        address: Address that shows the board.
        name: Name of the run.
        note: File of the note.
    """

    def __init__(self, address: str, name: str, note: Path) -> None:
        self._address, self._name, self._note = address, name, note

    def handle(self, events: Sequence[Mapping[str, Any]]) -> None:
        """Handles events. If the same events come again, the note does not change."""
        said = json.loads(self._note.read_text()) if self._note.is_file() else {}
        for event in events:
            if event["type"] == "stage-ended":
                said[event["stage"]] = event["headline"]
        self._note.parent.mkdir(exist_ok=True)
        self._note.write_text(json.dumps(said))

    def describe(self) -> Mapping[str, object]:
        """Returns the address of the note."""
        return {
            "label": "Board",
            "url": f"{self._address}/{self._name}",
            "links": {"all notes": self._address},
            "note": str(self._note),
        }


def note_of(folder: Path, workspace: Path) -> Path:
    """Returns the file with the note about a run or a suite."""
    return workspace / "board" / f"{folder.name}.json"
