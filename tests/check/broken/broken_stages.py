"""Stages that each break the rule `breaks`."""

from __future__ import annotations

import json
import struct
import time
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field

from halo_core import Forecast, SamplesRef, Stage, StageContext, StageResult, TestRef
from halo_core.workspace.records import FEEDBACK, SAMPLES, SampleLine


class Echo(Stage):
    """Answers each prompt with its last message."""

    breaks: ClassVar[str] = ""
    produces: ClassVar = "samples"
    seeded: ClassVar = False

    prompts: TestRef = Field(description="The prompts.")

    def lines(self, context: StageContext) -> list[Any]:
        lines = {
            row["prompt_id"]: SampleLine(
                prompt_id=row["prompt_id"],
                prompt=row["prompt"],
                completion=row["prompt"][-1]["content"],
                tokens=1,
                target=row.get("chosen"),
            )
            for row in context.data["prompts"]
        }
        return list(lines.values())

    def run(self, context: StageContext) -> StageResult:
        lines = self.lines(context)
        SAMPLES.write(context.folder / SAMPLES.name, lines)
        return StageResult({"n": len(lines)}, "answered")


class SaysNonsense(Echo):
    """Returns a text for its mistakes."""

    breaks = "sayings"

    def forecast(self, known: Any) -> Any:
        return "cheap"


class NegativeWork(Echo):
    """Plans less than nothing."""

    breaks = "sayings"

    def work(self, known: Any) -> Any:
        return -1


class ForecastsAFraction(Echo):
    """Makes half a weight."""

    breaks = "sayings"

    def forecast(self, known: Any) -> Forecast:
        return Forecast(weights=0.5)  # type: ignore[arg-type]


class CommandIsAText(Echo):
    """Gives its command as one text."""

    breaks = "sayings"

    def command(self, folder: Path) -> Any:
        return f"python work.py {folder}"


class NeedsNothingButRaises(Echo):
    """Divides by the rows that are not known yet."""

    breaks = "sayings"

    def work(self, known: Any) -> Any:
        return 1 / len(known.rows)


class ReturnsADict(Echo):
    """Returns its metrics only."""

    breaks = "runs"

    def run(self, context: StageContext) -> Any:
        return dict(super().run(context).metrics)


class NanResult(Echo):
    """Divides nothing by nothing."""

    breaks = "runs"

    def run(self, context: StageContext) -> StageResult:
        super().run(context)
        return StageResult({"share": float("nan")})


class NoFile(Echo):
    """Writes nothing."""

    breaks = "runs"

    def run(self, context: StageContext) -> StageResult:
        return StageResult({"n": 0})


class EmptyFile(Echo):
    """Writes no line."""

    breaks = "runs"

    def run(self, context: StageContext) -> StageResult:
        (context.folder / SAMPLES.name).touch()
        return StageResult({"n": 0})


class TextFile(Echo):
    """Writes texts and not records."""

    breaks = "runs"

    def run(self, context: StageContext) -> StageResult:
        (context.folder / SAMPLES.name).write_text("moo\nquack\n", "utf-8")
        return StageResult({"n": 2})


class LinesWithoutFields(Echo):
    """Leaves out the prompt."""

    breaks = "runs"

    def run(self, context: StageContext) -> StageResult:
        line = json.dumps({"prompt_id": "a", "completion": "moo", "tokens": 1})
        (context.folder / SAMPLES.name).write_text(f"{line}\n", "utf-8")
        return StageResult({"n": 1})


class NanInALine(Echo):
    """Writes a length that is not a number."""

    breaks = "runs"

    def run(self, context: StageContext) -> StageResult:
        result = super().run(context)
        file = context.folder / SAMPLES.name
        file.write_text(file.read_text("utf-8").replace('"tokens":1', '"tokens":NaN'), "utf-8")
        text = file.read_text("utf-8").replace('"tokens": 1', '"tokens": NaN')
        file.write_text(text, "utf-8")
        return result


class OtherNumbersAgain(Echo):
    """Gives other metrics in the same folder."""

    breaks = "runs"

    def run(self, context: StageContext) -> StageResult:
        done = (context.folder / SAMPLES.name).exists()
        return StageResult({"n": super().run(context).metrics["n"] + done})


class RaisesWhenStopped(Echo):
    """Takes a request to stop for a mistake."""

    breaks = "runs"

    def run(self, context: StageContext) -> StageResult:
        assert not context.stop.is_set()
        return super().run(context)


class WantsAnotherName(Echo):
    """Looks for its rows under the wrong name."""

    breaks = "runs"

    def lines(self, context: StageContext) -> list[Any]:
        return [*context.data["rows"]]


class Weights(Stage):
    """Writes a model of four weights."""

    breaks: ClassVar[str] = ""
    produces: ClassVar = "model"
    last: ClassVar[float] = 1.0

    def run(self, context: StageContext) -> StageResult:
        model = context.folder / "model"
        model.mkdir(exist_ok=True)
        head = {"w": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}}
        text = json.dumps(head).encode()
        numbers = struct.pack("<4f", 0.0, -1.0, 3e38, self.last)
        content = struct.pack("<Q", len(text)) + text + numbers
        (model / "model.safetensors").write_bytes(content)
        return StageResult({"weights": 4})


class NanWeights(Weights):
    """Writes a weight that is not a number."""

    breaks = "runs"
    last = float("nan")


class InfiniteWeights(Weights):
    """Writes a weight that is infinite."""

    breaks = "runs"
    last = float("-inf")


class EmptyModel(Weights):
    """Makes the folder and writes nothing."""

    breaks = "runs"

    def run(self, context: StageContext) -> StageResult:
        (context.folder / "model").mkdir(exist_ok=True)
        return StageResult({})


class CutWeights(Weights):
    """Writes half of the file."""

    breaks = "runs"

    def run(self, context: StageContext) -> StageResult:
        result = super().run(context)
        file = context.folder / "model" / "model.safetensors"
        file.write_bytes(file.read_bytes()[:-4])
        return result


class Labels(Stage):
    """Writes a label for each sample."""

    breaks: ClassVar[str] = ""
    produces: ClassVar = "feedback"

    of: SamplesRef = Field(description="The samples.")

    def feedback_given(self) -> Any:
        return "binary"

    def row(self, sample: Any) -> dict[str, Any]:
        names = ("prompt", "completion", "tools")
        return {**{n: sample[n] for n in names if n in sample}, "desirable": True}

    def run(self, context: StageContext) -> StageResult:
        with context.stop.at_once("nothing was lost"):
            samples = SAMPLES.read(context.inputs["of"] / SAMPLES.name)
            rows: Any = [self.row(sample) for sample in samples]
            FEEDBACK.write(context.folder / FEEDBACK.name, rows)
        return StageResult({"n": len(rows)}, "labelled")


class OtherFeedback(Labels):
    """Writes demonstrations and promises labels."""

    breaks = "runs"

    def row(self, sample: Any) -> dict[str, Any]:
        row = super().row(sample)
        del row["desirable"]
        return row


class PromisesNothing(Labels):
    """Does not say what its feedback is."""

    breaks = "sayings"

    def feedback_given(self) -> Any:
        return None


class TrustsHalfAFile(Echo):
    """Takes a file of a killed run for a finished one."""

    breaks = "killed"

    def run(self, context: StageContext) -> StageResult:
        file = context.folder / SAMPLES.name
        lines = self.lines(context)
        if not file.exists():
            text = "".join(json.dumps({"v": 1, **line}) + "\n" for line in lines)
            file.write_text(text, "utf-8")
        return StageResult({"n": len(lines)}, "answered")


class AppendsAgain(Echo):
    """Appends to what a killed run wrote."""

    breaks = "killed"

    def run(self, context: StageContext) -> StageResult:
        done, part = context.folder / SAMPLES.name, context.folder / "part.jsonl"
        lines = self.lines(context)
        if not done.exists():
            for line in lines:
                with part.open("a") as file:
                    file.write(json.dumps({"v": 1, **line}) + "\n")
            part.rename(done)
        return StageResult({"n": len(lines)}, "answered")


class StumblesOverItsFolder(Echo):
    """Cannot begin where a killed run made a folder."""

    breaks = "killed"

    def run(self, context: StageContext) -> StageResult:
        if not (context.folder / SAMPLES.name).exists():
            (context.folder / "work").mkdir()
            (context.folder / "work" / "notes.txt").write_text("begun", "utf-8")
        return super().run(context)


class CountsItsRuns(Echo):
    """Gives the number of times that it began as a result."""

    breaks = "killed"

    def run(self, context: StageContext) -> StageResult:
        notes = context.folder / "begun.txt"
        done = (context.folder / SAMPLES.name).exists()
        if not done:
            begun = len(notes.read_text("utf-8")) if notes.exists() else 0
            notes.write_text("x" * (begun + 1), "utf-8")
            time.sleep(0.01)
            super().run(context)
        return StageResult({"begun": len(notes.read_text("utf-8"))})


class WritesNextToItsFolder(Echo):
    """Leaves a file outside of its folder."""

    breaks = "runs"

    def run(self, context: StageContext) -> StageResult:
        context.folder.with_name("notes.txt").write_text("notes", "utf-8")
        return super().run(context)


class ChangesItsInput(Labels):
    """Removes samples from the stage that made them."""

    breaks = "runs"

    def run(self, context: StageContext) -> StageResult:
        file = context.inputs["of"] / SAMPLES.name
        SAMPLES.write(file, list(SAMPLES.read(file))[:1])
        return super().run(context)
