"""`halo join RUN`: works for a run that another machine has started."""

from __future__ import annotations

from pathlib import Path

import click

from halo_core.cli.output import Output, output_options, workspace_option
from halo_core.cli.run_names import RunName
from halo_core.cli.terminal import stopping


@click.command()
@click.argument("run", metavar="RUN", type=RunName())
@click.option(
    "--wait",
    "wait_s",
    type=click.FloatRange(min=0),
    default=3600.0,
    show_default=True,
    metavar="SECONDS",
    help="Longest time to wait until the run needs this machine.",
)
@workspace_option
@output_options
def join(run: str, wait_s: float, workspace: str, output: Output) -> int:
    """Start this machine's processes of a run whose stages have `machines`.

    RUN is the folder or the name of a run in a workspace that all machines share. The exit code is
    that of the run. Ctrl-C saves the state and stops the run on all machines.
    """
    from halo_core.run.machines.join import join_run
    from halo_core.run.threads import patient_threads
    from halo_core.stage import StopFlag

    patient_threads()
    folder = Path(workspace) / "runs" / run if Path(run).name == run else Path(run)
    stop = StopFlag()
    with stopping(stop):
        code = join_run(folder.resolve(), wait_s=wait_s, stop=stop, say=output.say)
    output.emit({"run": str(folder), "exit_code": code})
    return code
