"""Reports whose faults show with texts of HTML, rare events, many events, or without a network."""

from __future__ import annotations

import html
import json
import subprocess
import tempfile
import threading
import webbrowser
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field

from halo_core import Report
from halo_core.workspace.files import write_text
from halo_core.workspace.records import EVENTS

Event = Mapping[str, Any]


class Said(Report):
    """Shows what was said in a run as HTML, and keeps the rules."""

    breaks: ClassVar[str] = ""
    live: ClassVar = True
    head: ClassVar[str] = '<meta charset="utf-8"><a href="https://example.org">halo</a>'
    metric: str = Field(default="win", description="The metric that is drawn.")

    def write(self, run: Path) -> Path:
        lines = [self.line(event) for event in self.events(run)]
        self.put(run / "said.html", self.head + "".join(f"<p>{line}</p>\n" for line in lines))
        return run / "said.html"

    def events(self, run: Path) -> Iterator[Event]:
        text = (run / EVENTS.name).read_text("utf-8")
        return (json.loads(line) for line in text.splitlines(keepends=True) if line[-1] == "\n")

    def line(self, event: Event) -> str:
        said = event.get("headline") or event.get("message") or event.get("metrics") or ""
        return html.escape(f"{event.get('stage')} {said}")

    def put(self, page: Path, text: str) -> None:
        write_text(page, text)


class DrawsOneMetric(Said):
    """Draws a metric that its option names, as XML."""

    breaks = ""

    def write(self, run: Path) -> Path:
        values = [e["metrics"].get(self.metric) for e in self.events(run) if "metrics" in e]
        self.put(run / "curve.svg", f'<svg><g id="{values}"/></svg>')
        return run / "curve.svg"


class RawTexts(Said):
    """Does not escape a headline."""

    breaks = "texts"

    def line(self, event: Event) -> str:
        return html.unescape(super().line(event))


class TextsInAScript(Said):
    """Puts JSON into a script, where `</script>` ends it."""

    breaks = "texts"

    def line(self, event: Event) -> str:
        return f"<script>const event = {json.dumps(event)}</script>"


class OpenAttributes(Said):
    """Does not escape quotes in an attribute."""

    breaks = "texts"

    def line(self, event: Event) -> str:
        said = html.escape(str(event.get("message", "")), quote=False)
        return f'<b title="{said}">!</b>'


class EscapesTwice(Said):
    """Escapes what is escaped already."""

    breaks = "texts"

    def line(self, event: Event) -> str:
        return html.escape(super().line(event))


class RawXml(Said):
    """Writes XML without escapes."""

    breaks = "texts"

    def write(self, run: Path) -> Path:
        said = "".join(str(event.get("message", "")) for event in self.events(run))
        self.put(run / "said.svg", f"<svg><text>{said}</text></svg>")
        return run / "said.svg"


class Latin1(Said):
    """Writes another encoding, and question marks for what it lacks."""

    breaks = "texts"

    def put(self, page: Path, text: str) -> None:
        draft = page.with_suffix(".draft")
        draft.write_text(text, encoding="latin-1", errors="replace")
        draft.replace(page)


class QuestionMarks(Said):
    """Loses letters outside of ASCII."""

    breaks = "texts"

    def put(self, page: Path, text: str) -> None:
        write_text(page, text.encode("ascii", "replace").decode())


class NeedsAMetric(Said):
    """Expects that each stage has a metric."""

    breaks = "texts"

    def line(self, event: Event) -> str:
        return str(max(event["metrics"])) if event["type"] == "stage-ended" else ""


class NeedsAStage(Said):
    """Expects that each warning is about a stage."""

    breaks = "texts"

    def line(self, event: Event) -> str:
        return str(event["stage"].upper()) if event["type"] == "warning" else ""


class ExpectsAStageInEach(Said):
    """Expects that a type of event that it does not know is about a stage."""

    breaks = "texts"

    def line(self, event: Event) -> str:
        return "" if event["type"].startswith("run-") else html.escape(str(event["stage"]))


class NothingOfTheRun(Said):
    """Writes the same page for each run."""

    advised: ClassVar[str] = "texts"

    def line(self, event: Event) -> str:
        return ""

    def events(self, run: Path) -> Iterator[Event]:
        return iter(())


class LoadsAScript(Said):
    """Loads a library from the network."""

    breaks = "self-contained"
    head = '<meta charset="utf-8"><script src="https://cdn.example.org/plot.js"></script>'


class LoadsAFont(Said):
    """Loads a font from the network."""

    breaks = "self-contained"
    head = "<style>@import url('//fonts.example.org/font.css'); p { font: 'Font' }</style>"


class LoadsALocalImage(Said):
    """Shows an image of this machine."""

    breaks = "self-contained"
    head = '<img src="file:///tmp/logo.png">'


class CountsRuns(Said):
    """Shows how many runs there are."""

    breaks = "self-contained"

    def write(self, run: Path) -> Path:
        write_text(run / "runs.txt", f"{len(list(run.parent.iterdir()))} runs\n")
        return run / "runs.txt"


class ASecondFile(Said):
    """Puts a style sheet next to its page."""

    breaks = "self-contained"

    def put(self, page: Path, text: str) -> None:
        super().put(page, text)
        write_text(page.with_name("style.css"), "p {}")


class OpensABrowser(Said):
    """Shows the page at once."""

    breaks = "self-contained"

    def put(self, page: Path, text: str) -> None:
        super().put(page, text)
        webbrowser.open(page.as_uri())


class LeavesAServer(Said):
    """Starts a process that stays."""

    breaks = "self-contained"

    def put(self, page: Path, text: str) -> None:
        super().put(page, text)
        subprocess.Popen(["sleep", "3"])


class WritesLater(Said):
    """Lets a thread write the rest of the page."""

    breaks = "self-contained"

    def put(self, page: Path, text: str) -> None:
        super().put(page, "soon")
        threading.Timer(0.05, write_text, (page, text)).start()


class NobodyMayRead(Said):
    """Takes all rights from its page."""

    breaks = "self-contained"

    def put(self, page: Path, text: str) -> None:
        super().put(page, text)
        page.chmod(0)


class PrivatePage(Said):
    """Moves a private file of `tempfile` into the run."""

    breaks = "self-contained"

    def put(self, page: Path, text: str) -> None:
        with tempfile.NamedTemporaryFile("w", dir=page.parent, delete=False) as file:
            file.write(text)
        Path(file.name).replace(page)


class WritesInPlace(Said):
    """Writes into the page that somebody reads."""

    breaks = "growing"

    def put(self, page: Path, text: str) -> None:
        page.write_text(text, "utf-8")


class DropsTheLastLine(Said):
    """Leaves out the last line, also if it is complete."""

    breaks = "growing"

    def events(self, run: Path) -> Iterator[Event]:
        text = (run / EVENTS.name).read_text("utf-8")
        return (json.loads(line) for line in text.splitlines()[:-1])


class ReadsAllForEach(Said):
    """Reads all events for each event."""

    breaks = "growing"

    def write(self, run: Path) -> Path:
        page = super().write(run)
        for _ in 3 * list(self.events(run)):
            (run / EVENTS.name).read_text("utf-8").split()
        return page
