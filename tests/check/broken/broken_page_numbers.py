"""Reports that show the numbers or the samples of a run in a wrong way, and break `breaks`."""

from __future__ import annotations

import html
import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field

from halo_core import Report
from halo_core.workspace.records import EVENTS

Event = Mapping[str, Any]


class NumbersOnAPage(Report):
    """Shows all final numbers, and keeps the rules."""

    breaks: ClassVar[str]
    live: ClassVar = True
    page: ClassVar[str] = "numbers.html"
    head: ClassVar[str] = '<meta charset="utf-8">'
    encoding: ClassVar[str] = "utf-8"
    digits: int = Field(default=4, ge=1, le=9, description="Digits of a number.")

    def write(self, run: Path) -> Path:
        lines = [line for event in self.events(run) for line in self.lines(run, event)]
        page, draft = run / self.page, run / "draft"
        draft.write_text(self.head + "\n".join(lines), self.encoding)
        draft.replace(page)
        return page

    def events(self, run: Path) -> Iterator[Event]:
        text = (run / EVENTS.name).read_text("utf-8")
        return (json.loads(line) for line in text.splitlines(keepends=True) if line[-1] == "\n")

    def lines(self, run: Path, event: Event) -> Iterator[str]:
        if event["type"] == "stage-ended":
            for name, value in self.numbers(event["metrics"]).items():
                yield f"<p>{event['stage']} {self.name(name)} {self.shown(value)}</p>"

    def numbers(self, metrics: Mapping[str, float]) -> Mapping[str, float]:
        return metrics

    def name(self, name: str) -> str:
        return html.escape(name)

    def shown(self, value: float) -> str:
        return f"{value:.{self.digits}g}"


class FewNumbers(NumbersOnAPage):
    """Shows whole numbers between 0 and 1,000 only, and keeps the rules."""

    breaks = ""

    def numbers(self, metrics: Mapping[str, float]) -> Mapping[str, float]:
        return {n: v for n, v in metrics.items() if 0 <= v <= 1000 and v == int(v)}


class LosesSigns(NumbersOnAPage):
    """Shows absolute values."""

    breaks = "numbers"

    def shown(self, value: float) -> str:
        return super().shown(abs(value))


class LosesFractions(NumbersOnAPage):
    """Shows whole numbers."""

    breaks = "numbers"

    def shown(self, value: float) -> str:
        return str(int(value))


class MixesNames(NumbersOnAPage):
    """Sorts the values and not the names."""

    breaks = "numbers"

    def numbers(self, metrics: Mapping[str, float]) -> Mapping[str, float]:
        return dict(zip(metrics, sorted(metrics.values()), strict=True))


class RawNames(NumbersOnAPage):
    """Does not escape the names of metrics."""

    breaks = "texts"

    def name(self, name: str) -> str:
        return name


class RawSamples(NumbersOnAPage):
    """Does not escape the completions of a stage."""

    breaks = "texts"

    def lines(self, run: Path, event: Event) -> Iterator[str]:
        if event["type"] == "samples":
            file = run.parent.parent / "stages" / "answers-0123456789abcdef" / event["path"]
            yield from (json.loads(line)["completion"] for line in file.open(encoding="utf-8"))


class NegativeBars(NumbersOnAPage):
    """Draws a bar to the left as one with a negative width."""

    breaks = "texts"

    def shown(self, value: float) -> str:
        return f'<svg><rect width="{value}" height="9"/></svg>'


class SaysUtf8(NumbersOnAPage):
    """Writes UTF-16 and says UTF-8."""

    breaks = "texts"
    encoding = "utf-16"


class NamedLikeTheOther(NumbersOnAPage):
    """Writes the page of another report."""

    breaks = "self-contained"
    page = "report.html"


class LocalTimes(NumbersOnAPage):
    """Shows times in the zone of the machine."""

    breaks = "elsewhere"

    def shown(self, value: float) -> str:
        return time.strftime("%H:%M", time.localtime(value))


class SameDigits(NumbersOnAPage):
    """Has an option that it does not use."""

    advised: ClassVar = "other-options"

    def shown(self, value: float) -> str:
        return f"{value:.4g}"
