"""Components that fail with a value of an option that its own bounds allow."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field

from halo_core import (
    Comparison,
    DataError,
    Judge,
    JudgeContext,
    JudgeSession,
    ReferenceUpdate,
    Report,
    Stage,
    StageContext,
    StageResult,
    TestRef,
    UserError,
    Verdict,
)
from halo_core.workspace.records import EVENTS, SAMPLES, SampleLine


class PartOfTheWords(Stage):
    """Answers with a part of each prompt, and refuses a part of no size."""

    produces: ClassVar = "samples"
    seeded: ClassVar = False

    prompts: TestRef = Field(description="The prompts.")
    parts: int = Field(default=2, ge=0, le=10**12, description="Number of parts.")

    def check_parts(self) -> None:
        if not self.parts:
            raise DataError("the texts cannot have 0 parts")

    def run(self, context: StageContext) -> StageResult:
        self.check_parts()
        lines: dict[str, SampleLine] = {}
        with context.stop.at_once("it begins again"):
            for row in context.data["prompts"]:
                text = row["prompt"][-1]["content"]
                lines[row["prompt_id"]] = SampleLine(
                    prompt_id=row["prompt_id"],
                    prompt=row["prompt"],
                    completion=text[: len(text) // self.parts] or text,
                    tokens=1,
                    target=row.get("chosen"),
                )
        SAMPLES.write(context.folder / SAMPLES.name, lines.values())
        return StageResult({"n": len(lines)}, "answered")


class DividesByItsOption(PartOfTheWords):
    """Divides by 0 if the option is 0."""

    breaks: ClassVar[str] = "other-options"

    def check_parts(self) -> None:
        return None


class UnusedPart(PartOfTheWords):
    """Has an option that nothing depends on."""

    advised: ClassVar[str] = "other-options"
    more: bool = Field(default=False, description="Whether there is more.")


class Last(Report):
    """Writes the types of the last events, and refuses to write none."""

    breaks: ClassVar[str] = ""
    last: int = Field(default=3, ge=0, description="Number of events.")

    def write(self, run: Path) -> Path:
        types = [event["type"] for event in EVENTS.read(run / EVENTS.name)]
        page = run / "last.txt"
        page.write_text(self.text(types[::-1][: self.last]), "utf-8")
        return page

    def text(self, types: list[str]) -> str:
        if not types:
            raise UserError("a page of 0 events is empty")
        return " ".join(types)


class LastOfNone(Last):
    """Takes the last one of none."""

    breaks = "other-options"

    def text(self, types: list[str]) -> str:
        return types[0]


class LongerTexts(Judge):
    """Prefers the longer text, in steps of some letters."""

    breaks: ClassVar[str] = ""
    step: int = Field(default=1, ge=0, le=5, description="Letters of a step.")

    @contextmanager
    def open(self, context: JudgeContext) -> Iterator[JudgeSession]:
        yield LongerSession(self.steps())

    def steps(self) -> Any:
        step = self.step or 1
        return lambda text: len(text) // step


class LongerSession(JudgeSession):
    def __init__(self, steps: Any) -> None:
        self.steps = steps

    def compare(self, comparisons: Sequence[Comparison]) -> Iterator[Verdict]:
        for each in comparisons:
            a, b = self.steps(each.a), self.steps(each.b)
            yield Verdict(each.id, "tie" if a == b else "A" if a > b else "B")


class StepOfZero(LongerTexts):
    """Divides by a step of 0."""

    breaks = "other-options"

    def steps(self) -> Any:
        return lambda text: len(text) // self.step


class SomeSteps(ReferenceUpdate):
    """Copies the policy at a step, and refuses step 0 when it is asked."""

    breaks: ClassVar[str] = ""
    every: int = Field(default=5, ge=0, le=9, description="Steps between copies.")

    def mix(self, step: int) -> float:
        if not self.every:
            raise UserError("every: expected at least 1")
        return float(step % self.every == 0)
