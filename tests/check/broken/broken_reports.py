"""Reports that each break the rule `breaks`."""

from __future__ import annotations

import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any, ClassVar

from halo_core import Report
from halo_core.workspace.files import write_text
from halo_core.workspace.records import EVENTS, RUN


class Page(Report):
    """Writes the number of events."""

    breaks: ClassVar[str] = ""
    live: ClassVar = True

    def write(self, run: Path) -> Path:
        page = run / "page.html"
        write_text(page, f"<p>{len(list(EVENTS.read(run / EVENTS.name)))} events</p>")
        return page


class ReturnsNothing(Page):
    """Forgets to return."""

    breaks = "pages"

    def write(self, run: Path) -> Any:
        super().write(run)


class ReturnsAText(Page):
    """Returns the page itself."""

    breaks = "pages"

    def write(self, run: Path) -> Any:
        return super().write(run).read_text("utf-8")


class WritesNothing(Page):
    """Returns a file that there is not."""

    breaks = "pages"

    def write(self, run: Path) -> Path:
        return run / "page.html"


class WritesBeside(Page):
    """Writes into the folder of all runs."""

    breaks = "pages"

    def write(self, run: Path) -> Path:
        (run.parent / "index.html").write_text("runs", "utf-8")
        return super().write(run)


class WritesElsewhere(Page):
    """Returns a file outside of the run."""

    breaks = "pages"

    def write(self, run: Path) -> Path:
        page = run.parent / "page.html"
        page.write_text("page", "utf-8")
        return page


class EmptyPage(Page):
    """Writes an empty page."""

    breaks = "pages"

    def write(self, run: Path) -> Path:
        page = run / "page.html"
        page.touch()
        return page


class NeedsTheEnd(Page):
    """Raises for a run in progress, although it is live."""

    breaks = "pages"

    def write(self, run: Path) -> Path:
        last = list(EVENTS.read(run / EVENTS.name))[-1]
        assert last["type"] == "run-ended"
        return super().write(run)


class AddsAnEvent(Page):
    """Changes the events that it reads."""

    breaks = "pages"

    def write(self, run: Path) -> Path:
        with (run / EVENTS.name).open("a") as file:
            file.write("{}\n")
        return super().write(run)


class RemovesTheRecord(Page):
    """Removes what it does not need."""

    breaks = "pages"

    def write(self, run: Path) -> Path:
        (run / RUN.name).unlink(missing_ok=True)
        return super().write(run)


class AnotherPageEachTime(Page):
    """Fills the folder with pages."""

    breaks = "pages"

    def write(self, run: Path) -> Path:
        return super().write(run).rename(run / f"page-{time.perf_counter_ns()}.html")


class TimeOnThePage(Page):
    """Writes the time of writing."""

    breaks = "pages"

    def write(self, run: Path) -> Path:
        page = super().write(run)
        page.write_text(f"<p>{time.perf_counter_ns()}</p>", "utf-8")
        return page


class AppendsToItsPage(Page):
    """Makes the page longer each time."""

    breaks = "pages"

    def write(self, run: Path) -> Path:
        page = run / "page.html"
        with page.open("a") as file:
            file.write("<p>more</p>")
        return page


class ReadsHalfALine(Page):
    """Does not expect that the last line is being written."""

    breaks = "pages"

    def write(self, run: Path) -> Path:
        types = [json.loads(line)["type"] for line in (run / EVENTS.name).open("rb")]
        page = run / "page.html"
        page.write_text(f"<p>{types}</p>", "utf-8")
        return page


class CopiesItsPage(Page):
    """Writes a copy outside of the workspace."""

    breaks = "pages"

    def write(self, run: Path) -> Path:
        page = super().write(run)
        name = f"halo-broken-reports-{os.getpid()}.txt"
        (Path(tempfile.gettempdir()) / name).write_text(page.read_text())
        return page
