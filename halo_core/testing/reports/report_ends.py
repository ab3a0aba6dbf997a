"""Checks that a page of a resumed run does not show the end of an earlier attempt as its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from halo_core.events import read_events
from halo_core.guarded.report_calls import written_by
from halo_core.testing.alike_events import write_events
from halo_core.testing.component import expect, must_not_raise
from halo_core.testing.made_runs import as_resumed, make_run
from halo_core.tracker import Report
from halo_core.workspace.layout import Workspace
from halo_core.workspace.records import EVENTS

Event = Mapping[str, Any]

ENDS: Sequence[Mapping[str, Any]] = (
    {"status": "failed", "headline": "failed", "error": "the disk is full"},
    {"status": "interrupted", "headline": "interrupted", "error": None},
)
"""Two ends of the first attempt."""


def check_ends(report: Report, folder: Path) -> None:
    """Writes pages of a resumed run whose first attempt ended in two ways.

    A page may show the ends of all attempts. So it is wrong only if the end of the first attempt
    matters as long as there is no later one, and no longer as soon as there is one.

    Args:
        report: The report.
        folder: An empty folder, which becomes the workspace.

    Raises:
        AssertionError: When it takes the end of the first attempt for the state of the run.
    """
    run = make_run(Workspace(folder.resolve()), "a")
    as_resumed(run, ended=True)
    told = [dict(event) for event, _ in read_events(run / EVENTS.name)]

    def page(first: Mapping[str, Any], *, over: bool) -> bytes:
        events = [{**e, **first} if e["type"] == "run-ended" else e for e in told[:-1]]
        write_events(run, [*events, told[-1]] if over else events)
        with must_not_raise(report, "write() of a run that was resumed"):
            path = written_by(report, run)
        content = path.read_bytes()
        path.unlink()
        return content

    matters = {over: len({page(end, over=over) for end in ENDS}) > 1 for over in (False, True)}
    expect(
        not matters[False] or matters[True],
        report,
        "the page of a run that was resumed depends on the status or the error with which an "
        "earlier attempt ended, as if the run had ended so: halo writes the page before it adds "
        "the event 'run-ended'. Forget an earlier end at each event 'run-started'",
    )


__all__ = ["check_ends"]
