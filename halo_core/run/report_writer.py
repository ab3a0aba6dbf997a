"""Writes the pages of a run that is in progress: ``python -m halo_core.run.report_writer RUN``.

The pages are written at the end of each stage, and once a minute if there is something new. The
controller ends the process. If the controller was killed, the process writes the pages a last time
and ends by itself.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import cast

from halo_core.errors import HaloError
from halo_core.events import read_events
from halo_core.guarded.report_calls import written_by
from halo_core.overview.spec_difference import spec_tree
from halo_core.parent_death import leave_after
from halo_core.plugins.discovery import discover
from halo_core.spec.document import Document
from halo_core.spec.mistakes import Mistakes
from halo_core.spec.resolver import Resolver
from halo_core.tracker import Report
from halo_core.workspace.records import EVENTS, RESOLVED_SPEC

EVERY_S = 60.0
"""Smallest number of seconds between two pages, except at the end of a stage."""
POLL_S = 1.0
ABANDONED_S = 60.0
"""Maximum time for the last pages after the controller was killed."""
POLITE = 10
"""Priority of the process, as a number for `os.nice`. Training comes first."""


def live_reports(run: Path) -> list[Report]:
    """Returns the reports of a run that are written while it is in progress.

    Raises:
        SpecErrors: When a report is not installed.
    """
    tree = spec_tree((run / RESOLVED_SPEC).read_text(encoding="utf-8"))
    trees = tree.get("reports") or []
    mistakes = Mistakes(Document(RESOLVED_SPEC, run, {"reports": trees}))
    resolver = Resolver(discover(), mistakes)
    found = [resolver.resolve("report", dict(one), ("reports", i)) for i, one in enumerate(trees)]
    mistakes.raise_if_any()
    reports = [cast(Report, one.component) for one in found if one]
    return [report for report in reports if report.live]


def keep_written(
    run: Path,
    reports: Sequence[Report],
    ended: Callable[[float], bool],
    *,
    every_s: float = EVERY_S,
    now: Callable[[], float] = time.monotonic,
) -> None:
    """Writes the reports of a run until it ends, and then a last time.

    Args:
        run: The run's folder.
        reports: The reports.
        ended: A function that waits some seconds and returns whether a last page is wanted.
        every_s: Smallest number of seconds between two pages, except at the end of a stage.
        now: The clock.
    """
    offset, new, last = 0, False, float("-inf")
    while True:
        over = ended(POLL_S)
        stage_ended = False
        for event, end in _events(run, offset):
            offset, new = end, True
            stage_ended |= event == "stage-ended"
        if over or stage_ended or (new and now() - last >= every_s):
            write_all(run, reports)
            new, last = False, now()
        if over:
            return


def _events(run: Path, offset: int) -> list[tuple[str, int]]:
    try:
        return [
            (event["type"], end) for event, end in read_events(run / EVENTS.name, offset=offset)
        ]
    except HaloError:  # A page of damaged events fails too, and `halo run` reports it.
        return []


def write_all(run: Path, reports: Sequence[Report]) -> None:
    """Writes each report. If one fails, the others are written.

    The controller writes all reports at the end of the run, and warns if one of them fails then.
    """
    for report in reports:
        try:
            written_by(report, run)
        except HaloError:
            continue


def main(run: Path) -> None:
    """Writes the reports of a run until the controller says or shows that the run is over."""
    os.nice(POLITE)
    leave_after(ABANDONED_S)
    signal.signal(signal.SIGTERM, _leave)
    controller = os.getppid()

    def ended(seconds: float) -> bool:
        readable, _, _ = select.select([sys.stdin], [], [], seconds)
        # The controller asks for the last page, or it is gone. A process that it forked may still
        # hold its end of the pipe, so its id is compared, too.
        return bool(readable) or os.getppid() != controller

    keep_written(run, live_reports(run), ended)


def _leave(number: int, frame: FrameType | None) -> None:
    # An exception, and not the default: a page that is half written is removed.
    raise SystemExit(128 + number)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
