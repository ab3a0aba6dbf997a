"""Runs or submits a suite for `halo run`."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from shlex import quote
from typing import TYPE_CHECKING, Any, Literal

from halo_core.cli.options import RunRequest, parse_overrides
from halo_core.cli.output import Output
from halo_core.cli.plan_suite import plan_lines
from halo_core.cli.terminal import stopping, table
from halo_core.usable_cores import usable_cores

if TYPE_CHECKING:
    from halo_core.display.board import Board
    from halo_core.stage import StopFlag
    from halo_core.suite.plan import SuitePlan
    from halo_core.suite.runner import RunCell, SuiteRunner
    from halo_core.tracking.suite_tracking import SuiteTracking


FEW = 8
"""Number of parallel cells that is never warned about."""


def run_suite(request: RunRequest, jobs: int, output: Output) -> None:
    """Runs the cells of a suite, and prints the results.

    Args:
        request: The suite to run.
        jobs: Number of cells that run in parallel.
        output: The command's output.

    Raises:
        SuiteErrors: When cells failed.
        Interrupted: When asked to stop.
    """
    from halo_core.cli.plan_suite import plan_lines
    from halo_core.cli.summary import suite_summary
    from halo_core.display.board import Board
    from halo_core.display.surfaces import surface_for_stderr
    from halo_core.stage import StopFlag
    from halo_core.suite.look_ahead import check_suite
    from halo_core.suite.runner import SuiteRunner

    started = time.monotonic()
    with ExitStack() as stack:
        board = stack.enter_context(Board(surface_for_stderr()).shown())
        with board.phase("reading the suite"):
            plan = request.suite_plan()
        with board.phase("checking options, models and rows"):
            check_suite(plan)
        for line in plan_lines(plan):
            board.say(line)
        jobs = useful_jobs(jobs, len(plan.plans), board.warn)
        stop = StopFlag()
        tracking = _tracking(plan, board.warn)
        run_cell = _run_cell(plan, request.workspace, jobs, stop, board)
        runner = SuiteRunner(plan, run_cell, tracking=tracking, stop=stop, say=board.say)
        try:
            with stopping(stop):
                runner.run(again=request.again, jobs=jobs)
        finally:
            output.attach(**_as_json(plan, runner, tracking))
            stack.close()  # The summary comes below the display.
            output.say(suite_summary(plan, runner, tracking.told, time.monotonic() - started))
    output.emit(_as_json(plan, runner, tracking))


def useful_jobs(jobs: int, cells: int, warn: Callable[[str], None]) -> int:
    """Returns the number of cells that run in parallel, and warns about a number of no use."""
    if jobs > cells:
        warn(f"--jobs {jobs}: the suite has {cells} cells, so that no more run at the same time")
        jobs = cells
    cores = usable_cores()
    if jobs > max(FEW, 4 * cores):
        warn(
            f"--jobs {jobs}: the cells share {cores} cores, and each takes about 0.5 GB of "
            "memory for its libraries"
        )
    return jobs


def _run_cell(
    plan: SuitePlan,
    workspace: str,
    jobs: int,
    stop: StopFlag,
    board: Board,
) -> RunCell:
    from halo_core.suite.cells import InPlace, Processes
    from halo_core.suite.commands import cell_command, part_command

    titles = {id_: f"cell {n} of {len(plan.plans)}, {id_}" for n, id_ in enumerate(plan.plans, 1)}
    if jobs == 1:
        return InPlace(
            board=board,
            titles=titles,
            stop=stop,
            command=lambda id_: ["halo", *cell_command(plan.suite, workspace, id_)],
        )
    return Processes(
        lambda id_: part_command(plan.suite, workspace, id_),
        jobs=jobs,
        board=board,
        titles=titles,
        stop=stop,
    )


def _tracking(plan: SuitePlan, warn: Callable[[str], None]) -> SuiteTracking:
    """Returns the suite tracking of the first cell's trackers, which all cells share."""
    from halo_core.tracking.send import trackers_of
    from halo_core.tracking.suite_tracking import SuiteTracking

    trackers = trackers_of(plan.suite.specs[0].tracking)
    return SuiteTracking(trackers, plan.folder, plan.workspace.root, warn)


def _as_json(plan: SuitePlan, runner: SuiteRunner, tracking: SuiteTracking) -> dict[str, Any]:
    return {
        "suite": plan.suite.name,
        "folder": str(plan.folder),
        "trackers": dict(tracking.told),
        "cells": [outcome.as_json() for outcome in runner.outcomes.values()],
    }


def submit_suite(
    request: RunRequest,
    cluster: Literal["slurm", "local"],
    options: Sequence[str],
    output: Output,
) -> None:
    """Submits the cells of a suite as jobs, and prints their ids.

    Args:
        request: The suite to run.
        cluster: The cluster that runs the jobs.
        options: Options of each job, as ``NAME=VALUE``.
        output: The command's output.

    Raises:
        UserError: When jobs cannot be submitted.
    """
    from halo_core.suite.look_ahead import check_suite
    from halo_core.suite.submit import submit
    from halo_core.tracking.carrier import shown_path

    parsed = _parse(options)
    plan = request.suite_plan()
    check_suite(plan)
    for line in plan_lines(plan):
        output.say(line)
    jobs = submit(plan, cluster, parsed, output.warn)
    output.emit({"suite": plan.suite.name, "folder": str(plan.folder), "jobs": jobs})
    output.say()
    output.say(table(["cell", "job"], list(jobs.items())) if jobs else "Every cell is done.")
    output.say()
    output.say(f"The jobs' output is in {shown_path(plan.folder / 'jobs')}. To see their progress:")
    root = quote(shown_path(plan.workspace.root))
    output.say(f"  halo plan {quote(str(request.spec_file))} --workspace {root}")


def _parse(options: Sequence[str]) -> dict[str, Any]:
    from halo_core.errors import UserError
    from halo_core.spec.document import parse_value

    parsed = {}
    for name, text in parse_overrides(options).items():
        value = parse_value(text)
        if not isinstance(value, str | int | float | bool):
            raise UserError(
                f"got {text!r}; expected a text or number", location=f"--submit-option {name}"
            )
        parsed[name] = value
    return parsed
