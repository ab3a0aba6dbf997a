"""Data sources, conversions and judges whose answers break the rule `breaks`."""

from __future__ import annotations

import os
import random
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field

from halo_core import (
    Comparison,
    DataError,
    DataInfo,
    DataSource,
    Judge,
    JudgeContext,
    JudgeSession,
    Loaded,
    Verdict,
)
from halo_core.completion import completion_in

ELSEWHERE = Path(tempfile.gettempdir()) / f"halo-broken-rows-{os.getpid()}.txt"


class Pairs(DataSource):
    """Two splits of pairs that keep the rules."""

    breaks: ClassVar[str] = ""

    def inspect(self) -> DataInfo:
        return DataInfo("paired", ("train", "test"), "pairs-1")

    def load(self, split: str) -> Loaded:
        if split not in ("train", "test"):
            raise DataError(f"no split {split!r}; there are train and test")
        return Loaded([self.row(f"{split} {word}") for word in self.words()])

    def words(self) -> Sequence[str]:
        return ("cow", "owl", "bee", "dog", "cat", "pig")

    def row(self, text: str) -> dict[str, Any]:
        asked = [{"role": "user", "content": text}]
        return {"prompt": asked, "chosen": f"Yes, {text}.", "rejected": "No."}


class SameSides(Pairs):
    """Has a pair with identical sides."""

    breaks = "rows"

    def row(self, text: str) -> dict[str, Any]:
        return super().row(text) | ({"rejected": f"Yes, {text}."} if "bee" in text else {})


class TestIsTrain(Pairs):
    """Has the same rows in both splits."""

    breaks = "rows"
    __test__ = False

    def row(self, text: str) -> dict[str, Any]:
        return super().row(text.rpartition(" ")[2])


class SplitTwice(Pairs):
    """Names a split twice."""

    breaks = "rows"

    def inspect(self) -> DataInfo:
        return DataInfo("paired", ("train", "train", "test"), "pairs-1")


class SizeInWords(Pairs):
    """Says in words how many rows there are."""

    breaks = "rows"

    def about_rows(self, split: str) -> Any:
        return "many"


class IgnoredIsAList(Pairs):
    """Lists ignored columns without counts."""

    breaks = "rows"

    def load(self, split: str) -> Loaded:
        return replace(super().load(split), ignored=["date"])  # type: ignore[arg-type]


class WritesAtInspect(Pairs):
    """Writes a file when somebody asks what there is."""

    breaks = "rows"

    def inspect(self) -> DataInfo:
        ELSEWHERE.write_text("inspected")
        return super().inspect()


class LeavesOutAnOption(Pairs):
    """Has an option that changes rows and not the digest."""

    breaks = "digest"
    times: int = Field(
        default=1, ge=1, le=9, description="Number of times that the answer is given."
    )

    def row(self, text: str) -> dict[str, Any]:
        return super().row(text) | {"chosen": "Yes. " * self.times}


class OrderOfASet(Pairs):
    """Gives rows in the order of a set."""

    breaks = "repeatable"

    def words(self) -> Sequence[str]:
        # Six words would have the same order in two processes once in some hundred tests.
        return list({*super().words(), *"abcdefghij"})


class DigestByHash(Pairs):
    """Makes the digest with hash()."""

    breaks = "repeatable"

    def inspect(self) -> DataInfo:
        return replace(super().inspect(), digest=str(hash("pairs-1")))


class Ratings(DataSource):
    """Ratings of both sides of pairs, which keeps the rules."""

    breaks: ClassVar[str] = ""
    source: DataSource = Field(description="The source of pairs.")

    def inspect(self) -> DataInfo:
        info = self.source.inspect()
        if info.feedback not in (None, "paired"):
            raise DataError(f"got {info.feedback} feedback; expected paired")
        return replace(info, feedback="binary", digest=info.digest and f"ratings: {info.digest}")

    def load(self, split: str) -> Loaded:
        inner = self.source.load(split)
        return Loaded(
            (self.rated(row, side) for row in inner.rows for side in ("chosen", "rejected")),
            inner.dropped,
            inner.ignored,
        )

    def rated(self, row: Mapping[str, Any], side: str) -> dict[str, Any]:
        shared = ("prompt", "group", "tools", "tokenizer", "template")
        rated = {name: row[name] for name in shared if name in row}
        rated |= completion_in(row, side).columns("completion")
        rated["desirable"] = self.likes(side)
        return {"id": f"{row['id']}-{side}", **rated} if "id" in row else rated

    def likes(self, side: str) -> bool:
        return side == "chosen"


class LikesTheRejected(Ratings):
    """Exchanges the sides."""

    breaks = "sides"

    def likes(self, side: str) -> bool:
        return side == "rejected"


class LikesAll(Ratings):
    """Likes both sides."""

    breaks = "sides"

    def likes(self, side: str) -> bool:
        return True


class DigestWithoutOption(Ratings):
    """Leaves its own option out of the digest."""

    breaks = "wrapping"
    loud: bool = Field(default=False, description="Whether completions are in capital letters.")

    def rated(self, row: Mapping[str, Any], side: str) -> dict[str, Any]:
        made = super().rated(row, side)
        return made | ({"completion": made["completion"].upper()} if self.loud else {})


class LongerText(Judge):
    """Prefers the longer text, and keeps the rules."""

    breaks: ClassVar[str] = ""

    @contextmanager
    def open(self, context: JudgeContext) -> Iterator[JudgeSession]:
        yield TextSession(self)

    def winner(self, comparison: Comparison, number: int) -> Any:
        a, b = len(comparison.a), len(comparison.b)
        return "tie" if a == b else "A" if a > b else "B"


class TextSession(JudgeSession):
    def __init__(self, judge: LongerText) -> None:
        self.judge = judge

    def compare(self, comparisons: Sequence[Comparison]) -> Iterator[Verdict]:
        for number, comparison in enumerate(comparisons):
            yield Verdict(comparison.id, self.judge.winner(comparison, number))


class Alternates(LongerText):
    """Decides by the place in the batch."""

    breaks = "same-again"

    def winner(self, comparison: Comparison, number: int) -> Any:
        return "A" if number % 2 else "B"


class ThrowsDice(LongerText):
    """Decides by chance."""

    breaks = "same-again"

    def winner(self, comparison: Comparison, number: int) -> Any:
        return random.choice(["A", "B"])


class TakesNotes(LongerText):
    """Writes notes outside of its folder."""

    breaks = "same-again"

    def winner(self, comparison: Comparison, number: int) -> Any:
        ELSEWHERE.write_text(comparison.id)
        return super().winner(comparison, number)


class ReadsEverything(LongerText):
    """Returns a part of a prompt that does not exist."""

    breaks = "declaration"

    def reads_beside(self) -> Any:
        return {"everything"}


class RaisesWithoutAKey(LongerText):
    """Raises a KeyError where a key is missing."""

    breaks = "declaration"

    def check_ready(self) -> None:
        raise KeyError("SERVICE_KEY")


class FindsAMistake(LongerText):
    """Finds a mistake in nothing."""

    breaks = "declaration"

    def check_inputs(self, inputs: Any) -> Any:
        return [("model", "it is missing")]
