"""Conversions of several kinds of feedback, which are wrong for one of them or for some prompts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, ClassVar

from pydantic import Field

from halo_core import DataError, DataInfo, DataSource, Loaded, prompt_id

Row = Mapping[str, Any]


class FewOfEach(DataSource):
    """Gives the first rows of each prompt, and keeps the rules."""

    breaks: ClassVar[str] = ""
    wanted: ClassVar[tuple[str | None, ...]] = (None, "demonstration", "binary")
    source: DataSource = Field(description="The source of demonstrations or of labelled answers.")
    most: int = Field(default=1, ge=1, le=9, description="Rows of each prompt.")

    def inspect(self) -> DataInfo:
        info = self.source.inspect()
        if info.feedback not in self.wanted:
            raise DataError(f"got {info.feedback} feedback; expected demonstration or binary")
        return replace(info, digest=info.digest and f"few: {info.digest}{self.told()}")

    def told(self) -> str:
        return f", {self.most}"

    def load(self, split: str) -> Loaded:
        inner, dropped = self.source.load(split), Counter[str]()
        return Loaded(self.rows(inner, dropped), dropped, inner.ignored)

    def rows(self, inner: Loaded, dropped: Counter[str]) -> Iterator[Row]:
        seen: Counter[str] = Counter()
        for row in inner.rows:
            asked = prompt_id(row["prompt"], row.get("tools"))
            seen[asked] += 1
            if seen[asked] <= self.most:
                yield self.passed(row)
            else:
                dropped["more of one prompt"] += 1
        dropped.update(inner.dropped)

    def passed(self, row: Row) -> Row:
        return dict(row)


class FewWithOneDigest(FewOfEach):
    """Has one digest for all numbers of rows."""

    breaks = "wrapping"

    def told(self) -> str:
        return ""


class FewAllGood(FewOfEach):
    """Overwrites labels, which demonstrations do not have."""

    breaks = "sides"

    def passed(self, row: Row) -> Row:
        return {**row, "desirable": True} if "desirable" in row else dict(row)


class FewOfTheHub(FewOfEach):
    """Refuses a source whose kind is not known without a network."""

    breaks = "description"
    wanted = ("demonstration", "binary")


class PairsUp(DataSource):
    """Makes a pair of the first good and the first bad answer to each prompt; keeps the rules."""

    breaks: ClassVar[str] = ""
    source: DataSource = Field(description="The source of labelled answers.")

    def inspect(self) -> DataInfo:
        info = self.source.inspect()
        if info.feedback not in (None, "binary"):
            raise DataError(f"got {info.feedback} feedback; expected binary")
        kind = info.feedback and "paired"
        return replace(info, feedback=kind, digest=info.digest and f"pairs up: {info.digest}")

    def load(self, split: str) -> Loaded:
        inner, dropped, ignored = self.source.load(split), Counter[str](), Counter[str]()
        return Loaded(self.rows(inner, dropped, ignored), dropped, ignored)

    def rows(self, inner: Loaded, dropped: Counter[str], ignored: Counter[str]) -> Iterator[Row]:
        sides: dict[str, tuple[list[Row], list[Row]]] = {}
        for row in inner.rows:
            sides.setdefault(self.asked(row), ([], []))[not row["desirable"]].append(row)
        for good, bad in sides.values():
            if good and bad and self.differ(good[0], bad[0]):
                yield self.pair(good[0], bad[0], ignored)
                self.leave_out(len(good) + len(bad) - 2, dropped)
            else:
                self.leave_out(len(good) + len(bad), dropped)
        dropped.update(inner.dropped)
        ignored.update(inner.ignored)

    def asked(self, row: Row) -> str:
        return prompt_id(row["prompt"], row.get("tools"))

    def differ(self, good: Row, bad: Row) -> bool:
        texts = {good["completion"], bad["completion"]}  # An empty one may only call a tool.
        return len(texts) == 2 and all(map(str.strip, texts))

    def leave_out(self, count: int, dropped: Counter[str]) -> None:
        dropped["no pair"] += count

    def pair(self, good: Row, bad: Row, ignored: Counter[str]) -> Row:
        kept = ("prompt", "tools", "group")
        pair = {name: good[name] for name in kept if name in good}
        if "id" in good and "id" in bad:
            pair["id"] = f"{good['id']}+{bad['id']}"
        for name in {*good, *bad} - {*kept, "id", "completion", "desirable"}:
            ignored[name] += 1
        return {**pair, "chosen": good["completion"], "rejected": bad["completion"]}


class PairsOfAConversation(PairsUp):
    """Takes two conversations with the same last message for one prompt."""

    breaks = "passed-on"

    def asked(self, row: Row) -> str:
        return str(row["prompt"][-1]["content"])


class PairsOfEqualSides(PairsUp):
    """Makes a pair of an answer that people do not agree on."""

    breaks = "passed-on"

    def differ(self, good: Row, bad: Row) -> bool:
        return True


class PairsWithoutSingles(PairsUp):
    """Counts no answer that has no opposite."""

    breaks = "passed-on"

    def leave_out(self, count: int, dropped: Counter[str]) -> None:
        pass
