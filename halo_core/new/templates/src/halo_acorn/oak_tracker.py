"""A tracker that writes the events of a run as lines of a text file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import Field

from halo_core import Tracker, TrackerSession


class OakTracker(Tracker):
    """Writes one line per event into a text file of the workspace, one file per run."""

    folder: str = Field(
        default="oak-lines",
        pattern=r"^[\w-]+$",
        description="Name of the folder in the workspace.",
    )

    def open(self, run: Path, workspace: Path) -> TrackerSession:
        """Returns a session that writes the file of a run."""
        return _Session(self._file(run, workspace))

    def has_run(self, run: Path, workspace: Path) -> bool:
        """Returns whether the file of a run is there."""
        return self._file(run, workspace).is_file()

    def mark_deleted(self, folder: Path, workspace: Path) -> bool:
        """Renames the file of a run. Suites have no file."""
        file = self._file(folder, workspace)
        deleted = file.with_suffix(".deleted")
        if file.is_file():
            file.replace(deleted)
        return deleted.is_file()

    def _file(self, run: Path, workspace: Path) -> Path:
        return workspace / self.folder / f"{run.name}.txt"


class _Session(TrackerSession):
    def __init__(self, file: Path) -> None:
        self._file = file
        self._known: set[str] | None = None

    def handle(self, events: Sequence[Mapping[str, Any]]) -> None:
        """Appends the lines that the file does not have yet, so events may come twice."""
        self._file.parent.mkdir(parents=True, exist_ok=True)
        with self._file.open("a+", encoding="utf-8") as file:
            if self._known is None:
                file.seek(0)
                text = file.read()
                self._known = set(text.splitlines())
                if text and not text.endswith("\n"):  # An earlier tracker was killed in a line.
                    file.write("\n")
            for line in map(line_of, events):
                if line not in self._known:
                    file.write(f"{line}\n")
                    self._known.add(line)

    def describe(self) -> Mapping[str, object]:
        """Returns the place of the file, which is shown at the end of the run."""
        return {"label": "Lines", "url": str(self._file)}


def line_of(event: Mapping[str, Any]) -> str:
    """Returns the time, the type, the stage and the text or the numbers of an event."""
    at = datetime.fromtimestamp(event["time"], UTC).isoformat(timespec="milliseconds")
    said = event.get("headline") or event.get("message") or ""
    numbers = event.get("metrics") or {}
    parts = [at, event["type"], event.get("stage"), event.get("step"), said]
    parts += [f"{name}={value:g}" for name, value in numbers.items()]
    return " ".join(" ".join(str(part).split()) for part in parts if part)
