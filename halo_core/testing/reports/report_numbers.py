"""Checks that the numbers of a page keep their signs, their fractions and their names."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from halo_core.events import EventLog, read_events
from halo_core.guarded.report_calls import written_by
from halo_core.testing.alike_events import alike_events, faults, write_events
from halo_core.testing.alike_steps import of_steps
from halo_core.testing.alike_words import of_words
from halo_core.testing.component import expect, must_not_raise
from halo_core.testing.made_runs import make_run, with_second_stage
from halo_core.testing.processes.busy_machine import own_time
from halo_core.tracker import Report
from halo_core.workspace.layout import Workspace
from halo_core.workspace.records import EVENTS

Metrics = Mapping[str, float]
Change = Callable[[Metrics], Metrics]

SECONDS = 4.0
"""Seconds of work after which no further pages are compared."""

STEP = 7.5
"""A number that is added to see whether a metric is on the page."""


class _EnoughError(Exception):
    """The pages took long enough."""


def check_numbers(report: Report, folder: Path) -> None:
    """Checks the pages of runs whose metrics differ in one respect only.

    A page may show some metrics, or none. So each respect counts only if the page changes when a
    number is added to the same metrics. A slow page is written until `SECONDS` are over.

    Args:
        report: The report.
        folder: An empty folder, which becomes the workspace.

    Raises:
        AssertionError: When the page is the same with all signs reversed, with other fractions, or
            with the values of metrics exchanged; when it uses some of several alike events only
            (see `halo_core.testing.alike_events`); or when it counts a
            step twice that came twice, or sorts steps as texts.
    """
    begun = own_time()
    run = make_run(Workspace(folder.resolve()), "a")
    told = [event for event, _ in read_events(run / EVENTS.name)]

    def page(change: Change) -> bytes:
        (run / EVENTS.name).unlink()
        log = EventLog(run / EVENTS.name)
        for event in told:
            fields = {name: value for name, value in event.items() if name not in ("v", "type")}
            if "metrics" in event:
                fields["metrics"] = dict(change(event["metrics"]))
            log.append(event["type"], **fields)
        with must_not_raise(report, "write() of a run with other metrics"):
            path = written_by(report, run)
        content = path.read_bytes()
        path.unlink()
        return content

    known = cache(page)
    usual = page(lambda metrics: metrics)
    for what, shows, change in (
        ("the sign of each metric is another one", (_fractions_raised,), _turned),
        ("the fraction of each metric is another one", (_fractions_raised,), _other_fractions),
        ("the values of its metrics are exchanged", (_first_raised, _last_raised), _exchanged),
    ):
        if all(known(shown) != usual for shown in shows):
            expect(
                page(change) != usual,
                report,
                f"the page stays the same if {what}, although it shows these metrics; expected "
                "each number with its sign, its digits and its own name",
            )
    with suppress(_EnoughError):
        _check_alike(report, Workspace(folder.resolve() / "alike"), begun + SECONDS)


def _check_alike(report: Report, workspace: Workspace, end: float) -> None:
    run = make_run(workspace, "a")
    with_second_stage(run)
    events = alike_events(run)

    def output(changed: Sequence[Mapping[str, Any]]) -> bytes:
        if own_time() > end:
            raise _EnoughError
        write_events(run, changed)
        with must_not_raise(report, "write() of a run with other events"):
            path = written_by(report, run)
        content = path.read_bytes()
        path.unlink()
        return content

    for fault in (*faults(output, events), *of_steps(output, events)):
        expect(not fault, report, f"the page that write() makes is about some events only: {fault}")
    for fault in of_words(output, events):
        expect(not fault, report, f"the page that write() makes: {fault}")


def _turned(metrics: Metrics) -> Metrics:
    return {name: -value for name, value in metrics.items()}


def _fractions_raised(metrics: Metrics) -> Metrics:
    return {n: v if float(v).is_integer() else v + STEP for n, v in metrics.items()}


def _other_fractions(metrics: Metrics) -> Metrics:
    """Moves the digits after the point by one half. Whole numbers, such as counts, stay."""
    return {
        name: value if float(value).is_integer() else math.floor(value) + (value % 1 + 0.5) % 1
        for name, value in metrics.items()
    }


def _first_raised(metrics: Metrics) -> Metrics:
    return {n: v + STEP if n == next(iter(metrics)) else v for n, v in metrics.items()}


def _last_raised(metrics: Metrics) -> Metrics:
    return {n: v + STEP if n == [*metrics][-1] else v for n, v in metrics.items()}


def _exchanged(metrics: Metrics) -> Metrics:
    return dict(zip(metrics, [*metrics.values()][::-1], strict=True))


__all__ = ["check_numbers"]
