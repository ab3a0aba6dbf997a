"""Trackers that each break the rule `breaks`."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from halo_core import Tracker, TrackerSession
from halo_core.tracker import StartOver


class Watches(Tracker):
    """Takes events and forgets them."""

    breaks: ClassVar[str] = ""

    def open(self, run: Path, workspace: Path) -> TrackerSession:
        return Session()


class Session(TrackerSession):
    def handle(self, events: Sequence[Any]) -> None:
        pass

    def close(self) -> None:
        pass


class OpensNothing(Watches):
    """Returns None for a session."""

    breaks = "events"

    def open(self, run: Path, workspace: Path) -> Any:
        return None


class RaisesAtOpen(Watches):
    """Raises when it is opened."""

    breaks = "events"

    def open(self, run: Path, workspace: Path) -> TrackerSession:
        raise OSError("no route to host")


class RaisesAtEvents(Watches):
    """Raises at each event."""

    breaks = "events"

    def open(self, run: Path, workspace: Path) -> TrackerSession:
        class Broken(Session):
            def handle(self, events: Sequence[Any]) -> None:
                raise KeyError("metrics")

        return Broken()


class Sleeps(Watches):
    """Takes a minute for each call."""

    breaks = "events"

    def open(self, run: Path, workspace: Path) -> TrackerSession:
        time.sleep(60)
        return Session()


class OpensSlowly(Watches):
    """Connects when it is opened."""

    breaks = "events"

    def open(self, run: Path, workspace: Path) -> TrackerSession:
        time.sleep(0.1)
        return Session()


class Notes(Watches):
    """Keeps a description."""

    breaks = ""

    def open(self, run: Path, workspace: Path) -> TrackerSession:
        return Described(type(self).description)

    @staticmethod
    def description() -> Any:
        return {"label": "Notes", "url": "http://notes"}


class Described(Session):
    def __init__(self, description: Any) -> None:
        self.description = description

    def describe(self) -> Mapping[str, object]:
        found: Mapping[str, object] = self.description()
        return found


class DescribesWithoutLabel(Notes):
    """Does not say how people call it."""

    breaks = "events"

    @staticmethod
    def description() -> Any:
        return {"url": "http://notes"}


class DescribesNoJson(Notes):
    """Describes itself with a path."""

    breaks = "events"

    @staticmethod
    def description() -> Any:
        return {"label": "Notes", "file": Path("notes")}


class OtherEachTime(Notes):
    """Describes itself differently the second time."""

    breaks = "events"

    @staticmethod
    def description() -> Any:
        return {"label": "Notes", "time": time.perf_counter_ns()}


class DescribesNothing(Notes):
    """Raises when it is asked what it is."""

    breaks = "events"

    @staticmethod
    def description() -> Any:
        raise KeyError("label")


class AlwaysFromTheStart(Watches):
    """Asks for the first events, although it has them."""

    breaks = "events"

    def open(self, run: Path, workspace: Path) -> TrackerSession:
        class Again(Session):
            def handle(self, events: Sequence[Any]) -> None:
                raise StartOver

        return Again()


class LeavesLoudly(Watches):
    """Raises when a run ends without it."""

    breaks = "events"

    def open(self, run: Path, workspace: Path) -> TrackerSession:
        class Loud(Session):
            def leave(self, status: str, reason: str) -> None:
                raise ConnectionError(reason)

        return Loud()


class KnowsEveryRun(Watches):
    """Answers that it has every run."""

    breaks = "events"

    def has_run(self, run: Path, workspace: Path) -> bool:
        return True


class TakesAnything(Watches):
    """Does not say whether it took a report."""

    breaks = "events"

    def take_report(self, report: Path, suite: Path, workspace: Path) -> Any:
        return None


class ChangesEvents(Watches):
    """Writes into the events that it is given."""

    breaks = "events"

    def open(self, run: Path, workspace: Path) -> TrackerSession:
        class Marks(Session):
            def handle(self, events: Sequence[Any]) -> None:
                for event in events:
                    event["seen"] = True

        return Marks()


class TidiesTheRun(Watches):
    """Removes the events of the run after it took them."""

    breaks = "events"

    def open(self, run: Path, workspace: Path) -> TrackerSession:
        class Tidies(Session):
            def close(self) -> None:
                for file in run.glob("*.jsonl"):
                    file.unlink()

        return Tidies()


class NotesTwice(Watches):
    """Writes each event as often as it comes."""

    breaks = "events"

    def open(self, run: Path, workspace: Path) -> TrackerSession:
        class Appends(Session):
            def handle(self, events: Sequence[Any]) -> None:
                with (workspace / "board.txt").open("a") as file:
                    file.writelines(f"{event['type']}\n" for event in events)

        return Appends()


class KnowsAllTypes(Watches):
    """Raises at an event of a later version."""

    breaks = "events"

    def open(self, run: Path, workspace: Path) -> TrackerSession:
        known = {"run-started", "stage-started", "metrics", "warning", "stage-ended", "run-ended"}

        class Strict(Session):
            def handle(self, events: Sequence[Any]) -> None:
                for event in events:
                    if event["type"] not in known:
                        raise KeyError(event["type"])

        return Strict()


class NeedsAnEvent(Watches):
    """Raises if there are no events."""

    breaks = "events"

    def open(self, run: Path, workspace: Path) -> TrackerSession:
        class Last(Session):
            def handle(self, events: Sequence[Any]) -> None:
                self.last = events[-1]

        return Last()


class SetsOfTypes(Watches):
    """Writes the types of the events in the order of a set."""

    breaks = "elsewhere"

    def open(self, run: Path, workspace: Path) -> TrackerSession:
        class Types(Session):
            def handle(self, events: Sequence[Any]) -> None:
                file = workspace / "types.txt"
                known = file.read_text("utf-8").split() if file.is_file() else []
                file.write_text("\n".join({*known, *(each["type"] for each in events)}), "utf-8")

        return Types()
