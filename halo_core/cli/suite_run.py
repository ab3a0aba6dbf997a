"""What `halo run` does with a suite."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from halo_core.cli.output import Output
from halo_core.cli.signals import stopping
from halo_core.cli.spec_options import RunRequest

if TYPE_CHECKING:
    from halo_core.progress import Progress
    from halo_core.stage import StopFlag
    from halo_core.suite.plan import SuitePlan
    from halo_core.suite.run import RunCell, SuiteRunner
    from halo_core.suite.tracking import SuiteTracking


def run_suite(request: RunRequest, jobs: int, output: Output) -> None:
    """Runs the cells of a suite, and tells what came out.

    Args:
        request: What is run.
        jobs: Cells at a time.
        output: Of the command.

    Raises:
        SuiteErrors: When cells failed.
        Interrupted: When asked to stop.
    """
    from halo_core.cli.suite_plan import plan_lines
    from halo_core.cli.suite_summary import suite_summary
    from halo_core.progress import stderr_progress
    from halo_core.stage import StopFlag
    from halo_core.suite.run import SuiteRunner

    started = time.monotonic()
    plan = request.suite_plan()
    say = _whole_lines()
    for line in plan_lines(plan):
        say(line)
    stop, progress = StopFlag(), stderr_progress()
    tracking = _tracking(plan, progress.warn)
    run_cell = _run_cell(plan, request.workspace, jobs, stop, progress, say)
    runner = SuiteRunner(plan, run_cell, tracking=tracking, stop=stop, say=say)
    try:
        with stopping(stop):
            runner.run(again=request.again, jobs=jobs)
    finally:
        output.attach(**_as_json(plan, runner, tracking))
        if not output.json:
            click.echo(suite_summary(plan, runner, tracking.told, time.monotonic() - started))
    output.emit(_as_json(plan, runner, tracking))


def _whole_lines() -> Callable[[str], None]:
    """Returns a way to print whole lines on stderr from several threads."""
    lock = threading.Lock()

    def say(line: str) -> None:
        with lock:
            click.echo(line, err=True)

    return say


def _run_cell(
    plan: SuitePlan,
    workspace: str,
    jobs: int,
    stop: StopFlag,
    progress: Progress,
    say: Callable[[str], None],
) -> RunCell:
    from halo_core.suite.command import cell_command, part_command
    from halo_core.suite.in_place import InPlace
    from halo_core.suite.processes import Processes

    if jobs == 1:
        return InPlace(
            progress=progress,
            stop=stop,
            command=lambda id_: ["halo", *cell_command(plan.suite, workspace, id_)],
            say=say,
        )
    return Processes(
        lambda id_: part_command(plan.suite, workspace, id_), jobs=jobs, stop=stop, say=say
    )


def _tracking(plan: SuitePlan, warn: Callable[[str], None]) -> SuiteTracking:
    """Returns what tells the trackers of the first cell; the others' are the same ones."""
    from halo_core.recorded_trackers import trackers_of
    from halo_core.suite.tracking import SuiteTracking

    trackers = trackers_of(plan.suite.specs[0].tracking)
    return SuiteTracking(trackers, plan.folder, plan.workspace.root, warn)


def _as_json(plan: SuitePlan, runner: SuiteRunner, tracking: SuiteTracking) -> dict[str, Any]:
    return {
        "suite": plan.suite.name,
        "folder": str(plan.folder),
        "trackers": dict(tracking.told),
        "cells": [outcome.as_json() for outcome in runner.outcomes.values()],
    }
