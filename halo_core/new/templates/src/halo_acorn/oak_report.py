"""A report that is a short text file."""

from __future__ import annotations

import json
from pathlib import Path

from pydantic import Field

from halo_core import Report


class OakReport(Report):
    """Writes the headline of each stage into a text file in the run's folder."""

    file: str = Field(
        default="headlines.txt", pattern=r"^[\w-]+\.txt$", description="Name of the text file."
    )

    def write(self, run: Path) -> Path:
        """Returns the file. It has a line for each stage that has ended, in their order."""
        lines: dict[str, str] = {}
        with (run / "events.jsonl").open(encoding="utf-8") as events:
            # The last line of a run that was killed may have no end.
            for event in (json.loads(line) for line in events if line.endswith("\n")):
                if event["type"] == "stage-ended":
                    said = event["headline"] or event["status"]
                    lines[event["stage"]] = f"{event['stage']}: {said}"
        path = run / self.file
        path.write_text("".join(f"{line}\n" for line in lines.values()), encoding="utf-8")
        return path
