"""Commands that halo starts by itself: `halo cell` and `halo worker`."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Sequence
from pathlib import Path

import click

from halo_core.cli.options import parse_overrides, spec_options
from halo_core.cli.output import Output, output_options, workspace_option
from halo_core.cli.terminal import stopping


@click.command(hidden=True)
@spec_options
@workspace_option
@click.argument("cell")
@output_options
def cell(
    spec_file: str, overrides: Sequence[str], workspace: str, cell: str, output: Output
) -> int:
    """Run one cell of a suite for the process that manages the suite."""
    from halo_core.display.board import Board
    from halo_core.display.relay import relay_of
    from halo_core.display.surfaces import LineSurface
    from halo_core.run.plan import make_plan
    from halo_core.run.threads import patient_threads
    from halo_core.spec.suite import load_suite
    from halo_core.stage import StopFlag
    from halo_core.suite.cells import InPlace
    from halo_core.suite.commands import cell_command
    from halo_core.workspace.layout import open_workspace

    patient_threads()
    _end_with_parent()
    suite = load_suite(Path(spec_file), parse_overrides(overrides), only=[cell])
    plan = make_plan(suite.specs[0], open_workspace(workspace))
    stop = StopFlag()
    with Board(relay_of() or LineSurface()).shown() as board, stopping(stop):
        run = InPlace(
            board=board,
            titles={cell: ""},
            stop=stop,
            command=lambda id_: ["halo", *cell_command(suite, workspace, id_)],
        )
        outcome = run(plan)
    output.emit(outcome.as_json())
    return outcome.exit_code


def _end_with_parent() -> None:
    """Asks this process to stop when its standard input ends, because its parent is gone."""

    def wait() -> None:
        while os.read(0, 1024):
            pass
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, daemon=True).start()


@click.command(hidden=True)
@click.argument("stage_folder", type=click.Path(exists=True, file_okay=False))
def worker(stage_folder: str) -> int:
    """Run one rank of the stage in a folder."""
    from halo_core.worker import work

    return work(Path(stage_folder))
