"""Trackers, reports and stages that break rules only between calls, sessions, runs or processes."""

from __future__ import annotations

import json
import os
import threading
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field

from halo_core import (
    Feedback,
    ReferenceUpdate,
    Report,
    SamplesRef,
    Stage,
    StageContext,
    StageResult,
    Tracker,
    TrackerSession,
)
from halo_core.workspace.files import write_text
from halo_core.workspace.records import EVENTS

CURVES: dict[tuple[str, str], dict[int, float]] = defaultdict(dict)


class Numbers(TrackerSession):
    """Keeps the last value of each number of each stage in a file."""

    def __init__(self, tracker: NumbersInFiles, run: Path, workspace: Path) -> None:
        self.tracker, self.run = tracker, run
        self.file = tracker.file_of(run, workspace)
        self.memory: dict[str, float] = {}

    def handle(self, events: Sequence[Mapping[str, Any]]) -> None:
        known = self.known()
        for event in self.used(events):
            for name, value in event.get("metrics", {}).items():
                known[self.label(event, name)] = value
        self.file.parent.mkdir(exist_ok=True)
        self.write(json.dumps(known, sort_keys=True))

    def known(self) -> dict[str, float]:
        return json.loads(self.file.read_text("utf-8")) if self.file.is_file() else {}

    def used(self, events: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
        return events

    def label(self, event: Mapping[str, Any], name: str) -> str:
        return f"{event['stage']}/{name}"

    def write(self, text: str) -> None:
        self.file.write_text(text, "utf-8")


class NumbersInFiles(Tracker):
    """Writes the last numbers of each run."""

    breaks: ClassVar[str] = ""
    session: ClassVar[type[Numbers]] = Numbers

    def open(self, run: Path, workspace: Path) -> TrackerSession:
        return self.session(self, run, workspace)

    def file_of(self, run: Path, workspace: Path) -> Path:
        return workspace / "numbers" / f"{run.name}.json"


class _LastOnly(Numbers):
    def used(self, events: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
        return events[-1:]


class UsesTheLastEvent(NumbersInFiles):
    """Uses only the last event of each list."""

    breaks = "effects"
    session = _LastOnly


class _OneName(Numbers):
    def label(self, event: Mapping[str, Any], name: str) -> str:
        return name


class MixesStages(NumbersInFiles):
    """Writes the numbers of all stages under one name."""

    breaks = "effects"
    session = _OneName


class _InMemory(Numbers):
    def known(self) -> dict[str, float]:
        return self.memory


class KeepsInMemory(NumbersInFiles):
    """Forgets the numbers when its process is started again."""

    breaks = "effects"
    session = _InMemory


class _Unclosed(Numbers):
    def write(self, text: str) -> None:
        self.file.open("w", encoding="utf-8").write(text)


class LeavesFilesOpen(NumbersInFiles):
    """Does not close its file."""

    breaks = "effects"
    session = _Unclosed


class _Nothing(Numbers):
    def used(self, events: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
        return ()


class WritesNoNumbers(NumbersInFiles):
    """Writes a file without the numbers."""

    advised: ClassVar[str] = "effects"
    session = _Nothing


class _Thread(Numbers):
    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        threading.Thread(target=time.sleep, args=(2.5,), daemon=True).start()


class LeavesAThread(NumbersInFiles):
    """Starts a thread that nobody ends."""

    breaks = "effects"
    session = _Thread


class Curves(Report):
    """Writes the numbers of each stage at each step."""

    breaks: ClassVar[str] = ""
    live: ClassVar = True

    def write(self, run: Path) -> Path:
        curves = self.curves()
        for event in EVENTS.read(run / EVENTS.name):
            if event["type"] == "metrics":
                for name, value in event["metrics"].items():
                    curves[self.stage(event), name][event["step"]] = value
        text = "\n".join(f"{name} {sorted(points.items())}" for name, points in curves.items())
        return self.page(run, text + "\n")

    def curves(self) -> Any:
        return defaultdict(dict)

    def stage(self, event: Mapping[str, Any]) -> str:
        return str(event["stage"])

    def page(self, run: Path, text: str) -> Path:
        write_text(run / "curves.txt", text)
        return run / "curves.txt"


class KeepsItsPage(Curves):
    """Returns the older page if there is one."""

    breaks = "growing"

    def page(self, run: Path, text: str) -> Path:
        page = run / "curves.txt"
        return page if page.is_file() else super().page(run, text)


class LeavesADraft(Curves):
    """Copies its draft and leaves it there."""

    breaks = "growing"

    def page(self, run: Path, text: str) -> Path:
        (run / "curves.txt.tmp").write_text(text, "utf-8")
        return super().page(run, text)


class ReturnsTheEvents(Curves):
    """Returns a file of the run."""

    breaks = "growing"

    def page(self, run: Path, text: str) -> Path:
        super().page(run, text)
        return run / EVENTS.name


class OneStage(Curves):
    """Has one name for all stages."""

    breaks = "growing"

    def stage(self, event: Mapping[str, Any]) -> str:
        return "run"


class NeedsNumbers(Curves):
    """Divides by the number of curves, which is 0 at first."""

    breaks = "growing"

    def page(self, run: Path, text: str) -> Path:
        return super().page(run, f"{1 / len(text.strip())}\n{text}")


class MixesRuns(Curves):
    """Keeps the curves of all runs in its module."""

    breaks = "elsewhere"

    def curves(self) -> Any:
        return CURVES


class InTheOrderOfASet(Curves):
    """Writes the names of the numbers in the order of a set."""

    breaks = "elsewhere"

    def page(self, run: Path, text: str) -> Path:
        return super().page(run, "".join(sorted(text)) + " ".join({*text.split()}))


class ByRank(ReferenceUpdate):
    """Changes the reference of the first process only."""

    breaks: ClassVar[str] = "elsewhere"

    def mix(self, step: int) -> float:
        return 0.0 if os.environ.get("RANK", "0") != "0" else 0.5


class LabelsAll(Stage):
    """Calls each sample desirable."""

    breaks: ClassVar[str] = ""
    produces: ClassVar = "feedback"
    seeded: ClassVar = False

    of: SamplesRef = Field(description="The samples.")

    def feedback_given(self) -> Feedback:
        return "binary"

    def run(self, context: StageContext) -> StageResult:
        with context.stop.at_once("nothing was lost"):
            lines = (context.inputs["of"] / "samples.jsonl").read_text("utf-8").split("\n")
            rows = [self.row(json.loads(line)) for line in lines if line]
            text = "".join(json.dumps(row) + "\n" for row in rows)
            self.write(context.folder / "feedback.jsonl", text)
        return StageResult({"rows": len(rows)}, "labelled")

    def row(self, sample: Mapping[str, Any]) -> Mapping[str, Any]:
        names = ("prompt", "completion", "tools")
        return {**{n: sample[n] for n in names if n in sample}, "desirable": True}

    def write(self, file: Path, text: str) -> None:
        file.write_text(text, "utf-8")


class Appends(LabelsAll):
    """Adds its rows to those of an earlier run."""

    breaks = "runs"

    def write(self, file: Path, text: str) -> None:
        with file.open("a", encoding="utf-8") as opened:
            opened.write(text)


class AnotherKind(LabelsAll):
    """Promises demonstrations and writes labels."""

    breaks = "runs"

    def feedback_given(self) -> Feedback:
        return "demonstration"


class EmptyTexts(LabelsAll):
    """Writes empty completions."""

    breaks = "runs"

    def row(self, sample: Mapping[str, Any]) -> Mapping[str, Any]:
        return {**super().row(sample), "completion": ""}


class InventsPrompts(LabelsAll):
    """Writes the same prompt into each row."""

    advised: ClassVar[str] = "runs"

    def row(self, sample: Mapping[str, Any]) -> Mapping[str, Any]:
        return {**super().row(sample), "prompt": [{"role": "user", "content": "Vote"}]}
