"""Conversions that lose, change or miscount what they get, and so break the rule `breaks`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, ClassVar

from pydantic import Field

from halo_core import DataError, DataInfo, DataSource, Loaded

Row = Mapping[str, Any]


class ShortPairs(DataSource):
    """Leaves out pairs with a long side, and keeps the rules."""

    breaks: ClassVar[str] = ""
    source: DataSource = Field(description="The source of pairs.")
    times: ClassVar[int] = 1

    def inspect(self) -> DataInfo:
        info = self.source.inspect()
        if info.feedback not in (None, "paired"):
            raise DataError(f"got {info.feedback} feedback; expected paired")
        return replace(info, digest=info.digest and f"short: {info.digest}")

    def load(self, split: str) -> Loaded:
        inner, dropped = self.source.load(split), Counter[str]()
        return Loaded(self.rows(inner, dropped), dropped, inner.ignored)

    def rows(self, inner: Loaded, dropped: Counter[str]) -> Iterator[Row]:
        for row in inner.rows:
            if len(row["chosen"]) > 500:
                dropped["too long"] += self.times
            else:
                yield self.passed(row)
        dropped.update(inner.dropped)

    def passed(self, row: Any) -> Row:
        return dict(row)


class JoinsTheSystemTurn(ShortPairs):
    """Writes the turn of the system into the next one, for templates that take none."""

    breaks = ""

    def passed(self, row: Any) -> Row:
        first, *rest = row["prompt"]
        if first["role"] != "system":
            return dict(row)
        joined = {**rest[0], "content": f"{first['content']}\n\n{rest[0]['content']}"}
        return {**row, "prompt": [joined, *rest[1:]]}


class DropsInSilence(ShortPairs):
    """Counts no row that it leaves out."""

    breaks = "passed-on"
    times = 0


class CountsTwice(ShortPairs):
    """Counts each row twice that it leaves out."""

    breaks = "passed-on"
    times = 2


class LosesTheGroup(ShortPairs):
    """Makes new rows with the columns that it knows."""

    breaks = "passed-on"

    def passed(self, row: Any) -> Row:
        names = ("id", "prompt", "tools", "chosen", "chosen_fields", "rejected")
        return {name: row[name] for name in names if name in row}


class LosesTheTools(ShortPairs):
    """Leaves out the tools."""

    breaks = "passed-on"

    def passed(self, row: Any) -> Row:
        return {name: value for name, value in row.items() if name != "tools"}


class LosesTheCalls(ShortPairs):
    """Leaves out the tool calls of a completion."""

    breaks = "passed-on"

    def passed(self, row: Any) -> Row:
        return {name: value for name, value in row.items() if name != "chosen_fields"}


class KeepsTheLastTurn(ShortPairs):
    """Leaves out the beginning of a conversation."""

    breaks = "passed-on"

    def passed(self, row: Any) -> Row:
        return {**row, "prompt": row["prompt"][-1:]}


class CutsTexts(ShortPairs):
    """Cuts long completions."""

    breaks = "passed-on"

    def passed(self, row: Any) -> Row:
        return {**row, "chosen": row["chosen"][:24], "rejected": row["rejected"][:24]}


class ChangesItsRows(ShortPairs):
    """Writes into the rows that it gets."""

    breaks = "passed-on"

    def passed(self, row: Any) -> Row:
        row["chosen"] += " "
        return dict(row)


class NeedsAnId(ShortPairs):
    """Expects an id in each row."""

    breaks = "passed-on"

    def passed(self, row: Any) -> Row:
        return {**row, "id": f"{row['id']}/short"}


class SmallIds(ShortPairs):
    """Writes ids in small letters."""

    breaks = "passed-on"

    def passed(self, row: Any) -> Row:
        return {**row, "id": row["id"].lower()} if "id" in row else dict(row)


class ForgetsIgnored(ShortPairs):
    """Forgets which columns the wrapped source ignores."""

    breaks = "passed-on"

    def load(self, split: str) -> Loaded:
        return replace(super().load(split), ignored={})


class LosesADuplicatePrompt(ShortPairs):
    """Makes ratings of the first pair of each prompt only, and does not count the others."""

    breaks = "passed-on"

    def inspect(self) -> DataInfo:
        return replace(super().inspect(), feedback="demonstration")

    def load(self, split: str) -> Loaded:
        inner = self.source.load(split)
        first = {str(row["prompt"]): row for row in inner.rows}
        chosen = {"chosen": "completion", "chosen_fields": "completion_fields"}
        rows = [
            {chosen.get(k, k): v for k, v in row.items() if k != "rejected"}
            for row in first.values()
        ]
        return Loaded(rows, dict(inner.dropped), inner.ignored)


class Joined(DataSource):
    """Passes on the rows of several sources, and keeps the rules."""

    breaks: ClassVar[str] = ""
    sources: list[DataSource] = Field(min_length=1, description="The sources.")

    def inspect(self) -> DataInfo:
        infos = [each.inspect() for each in self.sources]
        digests = [info.digest for info in infos if info.digest is not None]
        digest = f"joined: {digests}" if len(digests) == len(infos) else None
        return replace(infos[0], digest=digest)

    def load(self, split: str) -> Loaded:
        dropped, ignored = Counter[str](), Counter[str]()
        return Loaded(self.rows(split, dropped, ignored), dropped, ignored)

    def rows(self, split: str, dropped: Counter[str], ignored: Counter[str]) -> Iterator[Row]:
        for number, source in enumerate(self.sources):
            loaded = source.load(split)
            for row in loaded.rows:
                yield {**row, "id": f"{number}/{row['id']}"} if "id" in row else row
            self.count(loaded, dropped, ignored)

    def count(self, loaded: Loaded, dropped: Counter[str], ignored: Counter[str]) -> None:
        dropped.update(loaded.dropped)
        ignored.update(loaded.ignored)


class JoinedWithoutCounts(Joined):
    """Forgets what its sources dropped."""

    breaks = "wrapping"

    def count(self, loaded: Loaded, dropped: Counter[str], ignored: Counter[str]) -> None:
        return None
