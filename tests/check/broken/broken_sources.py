"""Data sources and conversions that each break the rule `breaks`."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any, ClassVar

from pydantic import Field

from halo_core import DataError, DataInfo, DataSource, Loaded


class Rows(DataSource):
    """Two rows that keep the rules."""

    breaks: ClassVar[str] = ""

    def inspect(self) -> DataInfo:
        return DataInfo("binary", ("train",), "rows-1")

    def load(self, split: str) -> Loaded:
        if split != "train":
            raise DataError(f"no split {split!r}; there is train")
        return Loaded([self.row("Moo?", True), self.row("Baa?", False)])

    def row(self, text: str, desirable: bool) -> dict[str, Any]:
        return {
            "prompt": [{"role": "user", "content": text}],
            "completion": "Yes.",
            "desirable": desirable,
        }


class UnknownRole(Rows):
    """Has a message of a role that does not exist."""

    breaks = "rows"

    def row(self, text: str, desirable: bool) -> dict[str, Any]:
        made = super().row(text, desirable)
        return made | {"prompt": [{"role": "farmer", "content": text}]}


class NoLabel(Rows):
    """Leaves out the label."""

    breaks = "rows"

    def row(self, text: str, desirable: bool) -> dict[str, Any]:
        made = super().row(text, desirable)
        del made["desirable"]
        return made


class LabelAsText(Rows):
    """Writes the label as a text."""

    breaks = "rows"

    def row(self, text: str, desirable: bool) -> dict[str, Any]:
        return super().row(text, desirable) | {"desirable": str(desirable)}


class AnySplit(Rows):
    """Has every split that anybody asks for."""

    breaks = "rows"

    def load(self, split: str) -> Loaded:
        return super().load("train")


class OtherRowsAgain(Rows):
    """Gives other rows the second time."""

    breaks = "rows"

    def load(self, split: str) -> Loaded:
        loaded = super().load(split)
        return Loaded([row | {"completion": f"{time.perf_counter_ns()}"} for row in loaded.rows])


class NoRows(Rows):
    """Has nothing."""

    breaks = "rows"

    def load(self, split: str) -> Loaded:
        super().load(split)
        return Loaded([])


class Around(DataSource):
    """Passes pairs on, as a conversion that keeps the rules."""

    breaks: ClassVar[str] = ""

    source: DataSource = Field(description="The source of pairs.")

    def inspect(self) -> DataInfo:
        info = self.source.inspect()
        if info.feedback not in (None, "paired"):
            raise DataError(f"got {info.feedback} feedback; expected paired")
        return replace(info, digest=info.digest and f"around-{info.digest}")

    def load(self, split: str) -> Loaded:
        return self.source.load(split)


class LosesDrops(Around):
    """Forgets what the wrapped source dropped."""

    breaks = "wrapping"

    def load(self, split: str) -> Loaded:
        return Loaded(self.source.load(split).rows)


class LosesIds(Around):
    """Gives all rows one id."""

    breaks = "wrapping"

    def load(self, split: str) -> Loaded:
        loaded = self.source.load(split)
        return Loaded(({**row, "id": "row"} for row in loaded.rows), loaded.dropped)


class OwnDigest(Around):
    """Has one digest for all contents."""

    breaks = "wrapping"

    def inspect(self) -> DataInfo:
        return replace(super().inspect(), digest="around")


class OtherPrompts(Around):
    """Invents prompts."""

    breaks = "wrapping"

    def load(self, split: str) -> Loaded:
        loaded = self.source.load(split)
        asked = [{"role": "user", "content": "Who is it?"}]
        return Loaded(({**row, "prompt": asked} for row in loaded.rows), loaded.dropped)


class NoDigest(Rows):
    """Has an empty digest."""

    breaks = "rows"

    def inspect(self) -> DataInfo:
        return replace(super().inspect(), digest="")


class DigestOfTheTime(Rows):
    """Has another digest each time."""

    breaks = "rows"

    def inspect(self) -> DataInfo:
        return replace(super().inspect(), digest=f"{time.perf_counter_ns()}")


class SaysNothing(Rows):
    """Has an empty completion."""

    breaks = "rows"

    def row(self, text: str, desirable: bool) -> dict[str, Any]:
        return super().row(text, desirable) | {"completion": ""}


class PromptIsAText(Rows):
    """Writes the prompt as a text."""

    breaks = "rows"

    def row(self, text: str, desirable: bool) -> dict[str, Any]:
        return super().row(text, desirable) | {"prompt": text}


class NoContent(Rows):
    """Has a message without a text."""

    breaks = "rows"

    def row(self, text: str, desirable: bool) -> dict[str, Any]:
        return super().row(text, desirable) | {"prompt": [{"role": "user", "content": None}]}


class KeyErrorForASplit(Rows):
    """Raises an error of Python for an unknown split."""

    breaks = "rows"

    def load(self, split: str) -> Loaded:
        return Loaded({"train": [self.row("Moo?", True)]}[split])


class CountsInWords(Rows):
    """Counts dropped rows in words."""

    breaks = "rows"

    def load(self, split: str) -> Loaded:
        return Loaded(super().load(split).rows, {"too long": "two"})  # type: ignore[dict-item]


class OwnFeedback(Rows):
    """Names a kind of feedback that there is not."""

    breaks = "rows"

    def inspect(self) -> DataInfo:
        return replace(super().inspect(), feedback="pairs")  # type: ignore[arg-type]


class ScoresWithoutNumber(DataSource):
    """Has a score that is NaN."""

    breaks: ClassVar[str] = "rows"

    def inspect(self) -> DataInfo:
        return DataInfo("scored", ("train",), "scores-1")

    def load(self, split: str) -> Loaded:
        if split != "train":
            raise DataError(f"no split {split!r}; there is train")
        prompt = [{"role": "user", "content": "Moo?"}]
        scores = [1.0, float("nan")]
        return Loaded([{"prompt": prompt, "completions": ["Yes.", "No."], "scores": scores}])


class RaisesInside(Around):
    """Has a mistake in its conversion."""

    breaks = "wrapping"

    def load(self, split: str) -> Loaded:
        loaded = self.source.load(split)
        return Loaded(({**row, "chosen": row["better"]} for row in loaded.rows), loaded.dropped)


class OneIdForAll(Rows):
    """Gives all rows one id."""

    breaks = "rows"

    def row(self, text: str, desirable: bool) -> dict[str, Any]:
        return super().row(text, desirable) | {"id": "row"}
