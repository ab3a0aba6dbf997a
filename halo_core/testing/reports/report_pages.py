"""Checks a report on runs that grow: older pages, events so far, two stages, leftovers, time."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from halo_core.guarded.report_calls import written_by
from halo_core.testing.component import expect, must_not_raise
from halo_core.testing.made_runs import (
    STAGES,
    make_run,
    with_other_numbers,
    with_second_stage,
)
from halo_core.testing.processes.busy_machine import own_time
from halo_core.testing.processes.effects import WRITES, watching
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

MANY = (60, 600)
"""Numbers of further events for which the times are compared."""

MOST = 15.0
"""Largest ratio of these times. With the square, it is about 40."""

LONG_S = 0.3
"""Seconds of CPU time up to which a ratio does not matter."""

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
            numbers of only one of two stages are used, or each page takes more than `SLOW_S`, when
            the time grows with the square of the number of events, or when a live page is changed
            by an incomplete last line or written in place.
    """
    run = make_run(Workspace(folder.resolve()), "a")
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
        f"less than {SLOW_S:.3g} s",
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
    if report.live:
        _check_last_line(report, run, lines)
        _check_in_place(report, run, whole)
    _check_many(report, run, whole)


def _check_last_line(report: Report, run: Path, lines: Sequence[str]) -> None:
    """Checks that an incomplete last line changes nothing, and that a complete one counts."""
    ended = max(n for n, line in enumerate(lines) if '"stage-ended"' in line) + 1
    complete = "".join(lines[:ended])
    with _page(report, run, complete, []) as (_, content):
        plain = content
    with _page(report, run, complete + '{"v": 1, "type": "met', []) as (_, content):
        expect(
            content == plain,
            report,
            "an incomplete last line of the events changes the page; expected it to be left out, "
            "and all lines before it to be read: only a line without an end is incomplete",
        )


def _check_in_place(report: Report, run: Path, whole: str) -> None:
    """Checks that a page is replaced at once, so that no reader finds a half of it."""
    opened: list[str] = []

    def take(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open" and isinstance(arguments[2], int) and arguments[2] & WRITES:
            if isinstance(arguments[0], str | bytes | os.PathLike):
                opened.append(os.path.realpath(os.fsdecode(arguments[0])))

    with _page(report, run, whole, []) as (page, _):
        with watching(take), must_not_raise(report, "write() of a run in progress"):
            written_by(report, run)
        expect(
            os.path.realpath(page) not in opened,
            report,
            f"write() opens {page.name} to write into it while others may read it, although the "
            "report is live; write a draft, and then call draft.replace(page)",
        )


def _check_many(report: Report, run: Path, whole: str) -> None:
    """Checks that the time does not grow with the square of the number of events."""
    lines = whole.splitlines(keepends=True)
    step = next(line for line in lines if '"metrics"' in line)
    took = []
    for count in MANY:
        (run / EVENTS.name).write_text("".join([*lines[:-1], *[step] * count, lines[-1]]), "utf-8")
        begun = time.process_time()
        with must_not_raise(report, f"write() of a run with {count} events"):
            page = written_by(report, run)
        took.append(time.process_time() - begun)
        page.unlink()
        if took[0] > LONG_S:
            return  # The rest would take long, and the page is slow for other reasons.
    expect(
        took[1] < LONG_S or took[1] < MOST * took[0],
        report,
        f"write() takes {took[0]:.2g} s for {MANY[0]} more events and {took[1]:.2g} s for "
        f"{MANY[1]:,}; expected a time that grows like the number of events: read them once",
    )


@contextmanager
def _page(
    report: Report, run: Path, events: str, took: list[float]
) -> Iterator[tuple[Path, bytes]]:
    """Yields the page of a run with these events, and its content; new files are removed then."""
    (run / EVENTS.name).write_text(events, "utf-8")
    before = {*run.rglob("*")}
    begun = own_time()
    with must_not_raise(report, "write() of a run with two stages"):
        page = written_by(report, run)
    took.append(own_time() - begun)
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
