"""Checks a report on runs that grow: older pages, events so far, two stages, leftovers, time."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from halo_core.guarded.report_calls import written_by
from halo_core.testing.component import expect, must_not_raise
from halo_core.testing.made_runs import (
    STAGES,
    make_run,
    with_other_numbers,
    with_second_stage,
)
from halo_core.tracker import Report
from halo_core.workspace.layout import Workspace
from halo_core.workspace.records import EVENTS

SLOW_S = 2.0
"""Seconds that the fastest of several pages may take."""

TRIES = 3
"""Number of pages of which the fastest counts, because a machine may be busy."""

NEWLINE = "\n"

SOME_EVENTS = (1, 2, 3, 5, 8)
"""Numbers of events so far, of a page that is written while a run is in progress."""

DRAFTS = (".tmp", ".part", ".draft", ".bak", ".old")
"""Ends of the names of files that should have been renamed or removed."""


def check_growing(report: Report, folder: Path) -> None:
    """Checks a report on a run at several times, with two stages whose metrics have the same names.

    Args:
        report: The report.
        folder: An empty folder, which becomes the workspace.

    Raises:
        AssertionError: When a page is one of the run's own files, a draft is left next to it, an
            older page changes a new one, an earlier state of the events cannot be written, the
            numbers of only one of two stages are used, or each page takes more than `SLOW_S`.
    """
    run = make_run(Workspace(folder.resolve()), "c")
    with_second_stage(run)
    whole = (run / EVENTS.name).read_text("utf-8")
    took: list[float] = []
    with _page(report, run, whole, took) as (page, fresh):
        _check_leftovers(report, run, page, fresh)
    while max(took) > SLOW_S and len(took) < TRIES:
        with _page(report, run, whole, took):
            pass
    expect(
        min(took) <= SLOW_S,
        report,
        f"write() takes {min(took):.2g} s for a run of {whole.count(NEWLINE)} events; expected "
        f"less than {SLOW_S:g} s",
    )
    lines = whole.splitlines(keepends=True)
    first = "".join(lines[: len(lines) // 4])
    with _page(report, run, first, took):  # The older page.
        with must_not_raise(report, "write() of a run in progress"):
            for count in SOME_EVENTS if report.live else ():
                (run / EVENTS.name).write_text("".join(lines[:count]), "utf-8")
                written_by(report, run)
        (run / EVENTS.name).write_text(whole, "utf-8")
        with must_not_raise(report, "write() of a run that is over"):
            again = written_by(report, run).read_bytes()
    expect(
        again == fresh,
        report,
        "write() of a run with an older page gives another page than without it; expected a page "
        "of the events as they are now",
    )
    _check_stages(report, run, whole, fresh)


@contextmanager
def _page(
    report: Report, run: Path, events: str, took: list[float]
) -> Iterator[tuple[Path, bytes]]:
    """Yields the page of a run with these events, and its content; new files are removed then."""
    (run / EVENTS.name).write_text(events, "utf-8")
    before = {*run.rglob("*")}
    begun = time.perf_counter()
    with must_not_raise(report, "write() of a run with two stages"):
        page = written_by(report, run)
    took.append(time.perf_counter() - begun)
    expect(
        page not in before,
        report,
        f"write() returned {page.name}, which is a file of the run itself; expected its own page",
    )
    try:
        yield page, page.read_bytes()
    finally:
        for path in sorted({*run.rglob("*")} - before, reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()


def _check_leftovers(report: Report, run: Path, page: Path, content: bytes) -> None:
    left = [
        path.name
        for path in run.rglob("*")
        if path.is_file() and path != page
        if path.name.endswith(DRAFTS) or path.read_bytes() == content
    ]
    expect(
        not left,
        report,
        f"write() leaves {', '.join(left)} next to {page.name}; rename a draft, or remove it",
    )


def _check_stages(report: Report, run: Path, whole: str, fresh: bytes) -> None:
    """Checks that the report uses the numbers of both stages, or of neither."""
    matters = {}
    for stage in STAGES:
        with _page(report, run, with_other_numbers(run, whole, stage), []) as (_, content):
            matters[stage] = content != fresh
    silent = [stage for stage, is_used in matters.items() if not is_used]
    expect(
        len(silent) != 1,
        report,
        f"other numbers of the stage {silent[0] if silent else ''!r} do not change the page that "
        "write() makes, and those of the other stage do. The metrics of both have the same names: "
        "keep them apart by `stage`, and read all events",
    )


__all__ = ["check_growing"]
