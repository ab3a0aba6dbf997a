"""`halo run SPEC`: trains, samples and judges as the spec says."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from halo_core.cli.options import (
    RunRequest,
    cell_option,
    parse_overrides,
    refuse_for_spec,
    spec_options,
)
from halo_core.cli.output import Output, output_options, workspace_option
from halo_core.cli.terminal import stopping
from halo_core.errors import UserError

if TYPE_CHECKING:
    from halo_core.display.board import Board
    from halo_core.run.plan import Plan
    from halo_core.run.status import RunStatus


@click.command()
@spec_options
@workspace_option
@click.option(
    "--again", multiple=True, metavar="STAGE", help="Compute a stage and all that follow it again."
)
@cell_option
@click.option(
    "--jobs",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="Run up to N cells of a suite in parallel.",
)
@click.option(
    "--submit",
    type=click.Choice(["slurm", "local"]),
    help="Submit a suite's cells as jobs to Slurm, or to this machine as a trial.",
)
@click.option(
    "--submit-option",
    "submit_options",
    multiple=True,
    metavar="NAME=VALUE",
    help="Set an option of each job, as in timeout_min=240 or partition=gpu. Repeatable.",
)
@click.option(
    "--dry-run",
    is_flag=True,
    help="Show the plan and the cost of the judges, as halo plan does, and run nothing.",
)
@output_options
def run(
    spec_file: str,
    overrides: Sequence[str],
    workspace: str,
    again: Sequence[str],
    cells: Sequence[str],
    jobs: int,
    submit: Literal["slurm", "local"] | None,
    submit_options: Sequence[str],
    dry_run: bool,
    output: Output,
) -> None:
    """Run a spec or a suite: train, sample, judge. Finished results are not computed again.

    Ctrl-C saves the state, and the same command continues from there. A second Ctrl-C stops at
    once.
    """
    from halo_core.run.threads import patient_threads

    request = RunRequest(Path(spec_file), parse_overrides(overrides), workspace, cells, again)
    if dry_run:
        refused = {"again": again, "submit": submit, "submit-option": submit_options}
        _show_plan(request, output, refused)
        return
    patient_threads()
    if request.is_suite():
        from halo_core.cli.run_suite import run_suite, submit_suite

        if submit_options and submit is None:
            raise UserError("has an effect on jobs only; add --submit", location="--submit-option")
        if submit is not None:
            if jobs > 1 or again:
                option = "--jobs" if jobs > 1 else "--again"
                raise UserError(f"cannot be combined with {option}", location="--submit")
            submit_suite(request, submit, submit_options, output)
            return
        run_suite(request, jobs, output)
        return
    refuse_for_spec(cell=cells, jobs=jobs > 1, submit=submit, submit_option=submit_options)
    _run_spec(request, output)


def _show_plan(request: RunRequest, output: Output, refused: Mapping[str, object]) -> None:
    from halo_core.cli.plan import show_plan

    for option, value in refused.items():
        if value:
            raise UserError("has no effect with --dry-run; leave it out", location=f"--{option}")
    show_plan(request, None, output)


def _run_spec(request: RunRequest, output: Output) -> None:
    from halo_core.display.board import Board
    from halo_core.display.surfaces import surface_for_stderr

    started = time.monotonic()
    with Board(surface_for_stderr()).shown() as board:
        plan, status = _run_shown(request, board, output)
    if output.json:
        output.emit(status.as_json())
    else:
        from halo_core.cli.summary import summary

        output.say(summary(plan, status, time.monotonic() - started))


def _run_shown(request: RunRequest, board: Board, output: Output) -> tuple[Plan, RunStatus]:
    with board.phase("reading the spec"):
        from halo_core.run.controller import Runner
        from halo_core.run.status import new_status
        from halo_core.stage import StopFlag

        plan = request.plan()
    status = new_status(plan)
    stop = StopFlag()
    runner = Runner(plan, status, board=board, stop=stop, command=["halo", *sys.argv[1:]])
    count = len(plan.stages)
    board.say(f"run {plan.run_name}: {count} {'stage' if count == 1 else 'stages'}")
    try:
        with stopping(stop):
            runner.run(request.again)
    except KeyboardInterrupt:
        stop.raise_interrupted("run the same command again to continue from what was saved")
    finally:
        output.attach(**status.as_json())
    return plan, status
