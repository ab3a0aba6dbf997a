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


class MeansOfCurves(NumbersOnAPage):
    """Shows the mean of each curve, and keeps the rules."""

    breaks = ""

    def write(self, run: Path) -> Path:
        curves: dict[tuple[str, str], list[tuple[int, float]]] = {}
        for event in self.events(run):
            if event["type"] == "metrics":
                for name, value in event["metrics"].items():
                    curves.setdefault((event["stage"], name), []).append((event["step"], value))
        means = {key: self.mean(points) for key, points in curves.items()}
        text = "".join(
            f"<p>{stage} {self.name(name)} {mean}</p>" for (stage, name), mean in means.items()
        )
        page, draft = run / self.page, run / "draft"
        draft.write_text(self.head + text, self.encoding)
        draft.replace(page)
        return page

    def mean(self, points: list[tuple[int, float]]) -> str:
        later = dict(points)
        return self.shown(sum(later.values()) / len(later))


class MeansOfAllPoints(MeansOfCurves):
    """Counts a step twice that comes twice."""

    breaks = "numbers"

    def mean(self, points: list[tuple[int, float]]) -> str:
        return self.shown(sum(value for _, value in points) / len(points))


class KeepsTheFirstValue(MeansOfCurves):
    """Takes the earlier value of a step that comes twice."""

    breaks = "numbers"

    def mean(self, points: list[tuple[int, float]]) -> str:
        earlier = dict(reversed(points))
        return self.shown(sum(earlier.values()) / len(earlier))


class ListsAllPoints(MeansOfCurves):
    """Lists each event, and keeps the rules."""

    breaks = ""

    def mean(self, points: list[tuple[int, float]]) -> str:
        return " ".join(f"{step}: {self.shown(value)}" for step, value in points)


class SortsStepsAsTexts(ListsAllPoints):
    """Has step 10 before step 9."""

    breaks = "numbers"

    def mean(self, points: list[tuple[int, float]]) -> str:
        return super().mean(sorted(points, key=lambda point: str(point[0])))


class ShowsTheState(NumbersOnAPage):
    """Shows how the attempt of now goes, and keeps the rules."""

    breaks = ""
    forgets: ClassVar[bool] = True
    states: ClassVar[slice] = slice(-1, None)

    def lines(self, run: Path, event: Event) -> Iterator[str]:
        if event["type"] == "run-started":
            ended: list[str] = []
            for each in self.events(run):
                if each["type"] == "run-started" and self.forgets:
                    ended = []
                if each["type"] == "run-ended":
                    ended.append(each["status"])
            yield f"<p>{' '.join(ended[self.states]) or 'done'}</p>"
        yield from super().lines(run, event)


class ListsAllEnds(ShowsTheState):
    """Shows the ends of all attempts, and keeps the rules."""

    breaks = ""
    forgets = False
    states = slice(None)


class ShowsAnEarlierEnd(ShowsTheState):
    """Shows that a run failed which was resumed."""

    breaks = "pages"
    forgets = False
