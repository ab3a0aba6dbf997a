"""Light components for the tests of the core. They count their calls."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from halo_core.data import DataInfo, DataSource, Loaded
from halo_core.errors import UserError
from halo_core.feedback import Feedback
from halo_core.judge import Judge, JudgeContext, JudgeSession
from halo_core.loss import Loss, LossBatch, LossOutput, Need
from halo_core.option_markers import (
    DataRef,
    Default,
    Execution,
    LearnRef,
    Location,
    ModelRef,
    RivalRef,
    SamplesRef,
    StartRef,
    TestRef,
)
from halo_core.stage import (
    Forecast,
    Known,
    ModelInput,
    Product,
    Stage,
    StageContext,
    StageResult,
)
from halo_core.workspace.records import SAMPLES, SampleLine


def pair(question: str, good: str = "yes", bad: str = "no") -> dict[str, object]:
    return {"prompt": [{"role": "user", "content": question}], "chosen": good, "rejected": bad}


class Pairs(DataSource):
    prefix: str = Field(default="q", description="start of each question")
    count: int = Field(default=4, ge=0, description="rows")
    empty: int = Field(default=0, description="rows with an empty completion")
    path: Annotated[str | None, Location()] = Field(default=None, description="a file")
    order: Literal["forwards", "backwards"] = Field(default="forwards", description="of the rows")
    groups: int = Field(default=0, ge=0, description="groups that the rows are dealt to")

    def inspect(self) -> DataInfo:
        options = f"{self.prefix} {self.count} {self.empty} {self.groups}"
        return DataInfo("paired", ("train", "test"), options)

    def load(self, split: str) -> Loaded:
        rows = [pair(f"{self.prefix}{split}{i}") for i in range(self.count)]
        if self.groups:
            rows = [{**row, "group": i % self.groups} for i, row in enumerate(rows)]
        rows += [pair(f"{self.prefix}e{i}", bad=" ") for i in range(self.empty)]
        rows = rows[::-1] if self.order == "backwards" else rows
        return Loaded(rows, {"too odd": 2})


class Binary(DataSource):
    def inspect(self) -> DataInfo:
        return DataInfo("binary", (), "1")

    def load(self, split: str) -> Loaded:
        prompt = [{"role": "user", "content": "hello"}]
        return Loaded([{"prompt": prompt, "completion": "hi", "desirable": True}])


class Broken(DataSource):
    def inspect(self) -> DataInfo:
        return DataInfo("binary", (), "1")

    def load(self, split: str) -> Loaded:
        raise KeyError("a bug of a stranger")


class WrongColumns(DataSource):
    def inspect(self) -> DataInfo:
        return DataInfo("binary", (), "1")

    def load(self, split: str) -> Loaded:
        return Loaded([{"prompt": [{"role": "user", "content": "x"}], "text": "y"}])


class PairLoss(Loss):
    feedback: ClassVar[Feedback] = "paired"
    needs: ClassVar[tuple[Need, ...]] = ("policy_logps",)
    beta: float = Field(default=0.1, gt=0, description="strength")

    def __call__(self, batch: LossBatch) -> LossOutput:
        raise NotImplementedError


class NoSuchModel(UserError):
    """An error class of a plugin, with other arguments than halo's errors."""

    def __init__(self, name: str, _: int) -> None:
        super().__init__(f"no such model: {name}")


Previous = Annotated[StartRef, Default("previous")]


class OwnEnd(BaseException):
    """An exception that `except Exception` does not catch."""


def deeper(stage: Stage) -> None:
    deeper(stage)


class Learn(Stage):
    """Writes a file instead of a model, once per call."""

    produces: ClassVar[Product] = "model"
    from_: Previous | None = Field(default=None, alias="from", description="start")
    data: LearnRef = Field(description="what to learn from")
    loss: Loss = Field(description="the loss")
    rate: float = Field(default=1.0, gt=0, description="learning rate")
    workers: Annotated[int, Execution()] = Field(default=1, ge=1, description="processes")
    fail: Annotated[str, Execution()] = Field(default="", description="how to fail")
    seconds: Annotated[float, Execution()] = Field(default=0.0, ge=0, description="time it takes")
    until: Annotated[str, Execution()] = Field(default="", description="file it waits for")
    refuses: str = Field(default="", description="text in the path of models that it cannot take")

    program: Annotated[str, Execution()] = Field(default="", description="run in place of itself")

    def preflight(self, models: Mapping[str, ModelInput]) -> None:
        if self.refuses == "bug":
            raise ZeroDivisionError("a bug of a stranger")
        if self.refuses and self.refuses in models["from"].path:
            raise UserError(f"cannot take {self.refuses}", location="loss")
        if self.refuses == "folder":
            raise UserError("there is no tokenizer", location=models["from"].path)

    def command(self, folder: Path) -> list[str] | None:
        if self.program:
            return [self.program]
        if self.workers == 1:
            return None
        return [sys.executable, "-m", "halo_core.worker", str(folder)]

    def work(self, context: StageContext) -> None:
        end = time.monotonic() + self.seconds
        while not context.stop.is_set() and (
            time.monotonic() < end or (self.until and not Path(self.until).exists())
        ):
            time.sleep(0.02)

    def run(self, context: StageContext) -> StageResult:
        model = context.folder / "model"
        model.mkdir(exist_ok=True)
        calls = context.folder / "calls.txt"
        with calls.open("a") as file:
            file.write("called\n")
        self.work(context)
        if self.fail == "bug":
            raise ZeroDivisionError("a bug of a stranger")
        if self.fail == "user":
            raise UserError("the model is too small", location="model/config.json")
        if self.fail == "user without place":
            raise UserError("there is no key")
        if self.fail == "own":
            raise NoSuchModel("x", 1)
        if self.fail == "exit":
            sys.exit(0)
        if self.fail == "recursion":
            deeper(self)
        if self.fail == "memory":
            raise MemoryError
        if self.fail == "keyboard":
            raise KeyboardInterrupt
        if self.fail == "own end":
            raise OwnEnd("so it ends")
        if self.fail == "vanish":
            os._exit(0)
        if self.fail == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.fail == "two signals":
            os.kill(os.getpid(), signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGTERM)
        if self.fail == "interrupt":
            context.stop.set(2)
        if context.stop.is_set():
            context.stop.raise_interrupted("one step is kept")
        with context.progress.bar("learning", 2) as bar:
            for step in (1, 2):
                bar.advance(loss="1.0")
                context.events.append(
                    "metrics", stage=context.id, step=step, metrics={"train/loss": 1 / step}
                )
        rows = context.data["data"]
        (model / "seen.json").write_text(json.dumps([row["id"] for row in rows]))
        return StageResult({"loss": 0.5, "rows": len(rows)}, f"learned from {len(rows)} rows")


class Answer(Stage):
    produces: ClassVar[Product] = "samples"
    from_: Previous | None = Field(default=None, alias="from", description="model")
    prompts: TestRef = Field(description="prompts")

    def run(self, context: StageContext) -> StageResult:
        prompt = [{"role": "user", "content": "hello?"}]
        sample = SampleLine(prompt_id="p", prompt=prompt, completion="hi", tokens=1)
        SAMPLES.write(context.folder / SAMPLES.name, [sample])
        return StageResult({"n": len(context.data["prompts"])}, "answered")


class Compare(Stage):
    produces: ClassVar[Product] = "verdicts"
    of: SamplesRef = Field(description="samples")
    against: RivalRef = Field(description="samples or target")

    def forecast(self, known: Known) -> Forecast:
        told = "2 to a judge" if "of" in known.inputs else f"known after {self.of}"
        return Forecast(ahead={"requests": told})

    def run(self, context: StageContext) -> StageResult:
        assert (context.inputs["of"] / "samples.jsonl").exists()
        (context.folder / "verdicts.jsonl").touch()
        return StageResult({"win": 0.5}, "compared")


class Label(Stage):
    """Writes feedback: pairs, or binary rows, on its own prompts."""

    produces: ClassVar[Product] = "feedback"
    of: SamplesRef | None = Field(default=None, description="samples")
    data: DataRef | None = Field(default=None, description="completions")
    kind_of_rows: Feedback = Field(default="paired", description="what it writes")
    word: str = Field(default="good", description="the better completion")
    said: Annotated[str, Execution()] = Field(default="?", description="the question")

    def feedback_given(self) -> Feedback | None:
        return self.kind_of_rows

    def run(self, context: StageContext) -> StageResult:
        row: dict[str, object] = pair(f"what about {self.said}", self.word, "bad")
        if self.kind_of_rows == "binary":
            row = {"prompt": row["prompt"], "completion": self.word, "desirable": True}
        (context.folder / "feedback.jsonl").write_text(json.dumps(row) + "\n")
        return StageResult({"n": 1}, "labelled")


class WrongLabel(Label):
    def feedback_given(self) -> Feedback | None:
        return None


class Wise(Judge):
    from_: ModelRef | None = Field(default=None, alias="from", description="model")

    def open(self, context: JudgeContext) -> AbstractContextManager[JudgeSession]:
        raise NotImplementedError


class CompareWith(Stage):
    produces: ClassVar[Product] = "verdicts"
    of: SamplesRef = Field(description="samples")
    judge: Judge = Field(description="who")

    def run(self, context: StageContext) -> StageResult:
        (context.folder / "verdicts.jsonl").touch()
        return StageResult({}, context.models["judge.from"].path)
