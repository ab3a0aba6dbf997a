"""`halo verify RUN`: whether the files of a run are as they were written."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from halo_core.cli.output import Output, output_options, workspace_option
from halo_core.cli.run_names import RunName
from halo_core.errors import HaloError, UserError

if TYPE_CHECKING:
    from halo_core.run.verify import Verified


@click.command()
@click.argument("run", metavar="RUN", required=False, type=RunName())
@click.option(
    "--all", "everything", is_flag=True, help="Check everything in the workspace, without RUN."
)
@workspace_option
@output_options
def verify(run: str | None, everything: bool, workspace: str, output: Output) -> None:
    """Compare the files of a run with the check values that were written with them.

    Every file is read. RUN is the folder or the name of a run. Nothing is changed: the next
    `halo run` computes again what can be computed again.
    """
    from halo_core.run.verify import verify_all, verify_run
    from halo_core.workspace.layout import Workspace, find

    if everything == (run is not None):
        raise UserError("expected either a run or --all", location="halo verify")
    if run is None:
        root = Path(workspace).resolve()
        if not root.is_dir():
            raise UserError("there is no such folder; name a workspace", location=str(root))
        verified = verify_all(Workspace(root))
    else:
        target = find(run, Path(workspace))
        if target.kind == "suite":
            raise UserError(
                "is a suite; name one of its cells' runs, or use --all", location=target.folder.name
            )
        verified = verify_run(target.folder, Workspace(target.workspace))
    _show(verified, output)


def _show(verified: Verified, output: Output) -> None:
    answer = asdict(verified)
    output.attach(**answer)
    for damage in verified.damaged:
        output.say(f"{damage.path}: {damage.what}; {damage.next}")
    if verified.unchecked:
        output.say(
            f"{len(verified.unchecked)} folders were written by an older halo, without check "
            "values: their files could not be compared"
        )
    if verified.damaged:
        count = len(verified.damaged)
        raise HaloError(f"{count} of {verified.files} files are damaged")
    output.say(f"{verified.files} files are as they were written")
    output.emit(answer)
