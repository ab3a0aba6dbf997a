"""Reports about curves, warnings and attempts of a run, of which some break the rule `breaks`."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from halo_core import Report
from halo_core.workspace.records import EVENTS

Event = Mapping[str, Any]


class LastPoints(Report):
    """Shows the last point of each curve, and keeps the rules."""

    breaks: ClassVar[str] = ""
    live: ClassVar = True
    page: ClassVar[str] = "curves.md"
    end: ClassVar[str] = "\nAll.\n"

    def write(self, run: Path) -> Path:
        with (run / EVENTS.name).open(encoding="utf-8") as file:
            events = [json.loads(line) for line in file if line.endswith("\n")]
        page, draft = run / self.page, run / "draft"
        draft.write_text("\n".join([*self.lines(events)]) + self.end, "utf-8")
        return draft.replace(page)

    def lines(self, events: Sequence[Event]) -> Iterator[str]:
        points: dict[Any, dict[Any, float]] = {}
        for event in events:
            if event["type"] == "metrics":
                for name, value in event["metrics"].items():
                    points.setdefault(self.key(event["stage"], name), {})[self.step(event)] = value
        for key, curve in points.items():
            yield f"{key} {curve[max(curve)]}"

    def key(self, stage: str, name: str) -> str:
        return f"{stage} {name}"

    def step(self, event: Event) -> Any:
        return event["step"]


class MixesCurves(LastPoints):
    """Knows a curve by its name only."""

    breaks = "numbers"

    def key(self, stage: str, name: str) -> str:
        return name


class StepsAsTexts(LastPoints):
    """Takes step 9 for the last one."""

    breaks = "numbers"

    def step(self, event: Event) -> Any:
        return str(event["step"])


class CutsNames(LastPoints):
    """Shows the first letters of a name."""

    breaks = "numbers"

    def key(self, stage: str, name: str) -> str:
        return f"{stage} {name[:16]:16}"


class MarksCutNames(CutsNames):
    """Shows the first letters of a name with a mark, and keeps the rules."""

    breaks = ""

    def key(self, stage: str, name: str) -> str:
        return f"{stage} {name[:16]}{'...' if len(name) > 16 else ''}"


class OfWarnings(LastPoints):
    """Shows how many warnings there are, and the last one, and keeps the rules."""

    breaks = ""

    def lines(self, events: Sequence[Event]) -> Iterator[str]:
        said = [event for event in events if event["type"] == "warning"]
        for stage, count in Counter(event["stage"] for event in said).items():
            last = [event["message"] for event in said if event["stage"] == stage][-1]
            yield f"{stage}: {count} warnings: {last}"


class OneWarning(LastPoints):
    """Shows the last warning of each stage."""

    breaks = "numbers"

    def lines(self, events: Sequence[Event]) -> Iterator[str]:
        yield from {e["stage"]: e["message"] for e in events if e["type"] == "warning"}.values()


class NeedsOneNumber(LastPoints):
    """Shows the largest of all final numbers."""

    breaks = "pages"
    live = False

    def lines(self, events: Sequence[Event]) -> Iterator[str]:
        ended = [event["metrics"] for event in events if event["type"] == "stage-ended"]
        yield str(max(value for metrics in ended for value in metrics.values()))


class TakesErrorsForObjects(LastPoints):
    """Reads the message of an error as if the error were an object."""

    breaks = "pages"

    def lines(self, events: Sequence[Event]) -> Iterator[str]:
        ends = [event for event in events if event["type"] == "run-ended"]
        yield from (str((event["error"] or {}).get("message")) for event in ends)


class KeepsControls(LastPoints):
    """Writes the letters of a terminal into XML."""

    breaks = "texts"
    page = "curves.svg"
    end = "</svg>\n"

    def lines(self, events: Sequence[Event]) -> Iterator[str]:
        yield "<svg>"
        ended = [event["headline"] for event in events if event["type"] == "stage-ended"]
        yield from (line.replace("&", "&amp;").replace("<", "&lt;") for line in ended)


class CountsNeighbours(LastPoints):
    """Shows headlines, and how many runs the workspace has."""

    breaks = "self-contained"
    live = False

    def write(self, run: Path) -> Path:
        page = super().write(run)
        page.write_text(f"{page.read_text('utf-8')}{len([*run.parent.iterdir()])} runs", "utf-8")
        return page

    def lines(self, events: Sequence[Event]) -> Iterator[str]:
        yield from (event["headline"] for event in events if event["type"] == "stage-ended")
