"""Finds the workspace, run or suite that a subcommand of `halo runs` refers to."""

from __future__ import annotations

import time
from pathlib import Path

from halo_core.cli.output import Output
from halo_core.cli.runs.choice import Choice, choose
from halo_core.errors import UserError
from halo_core.overview.run_entry import RunEntry, run_entries, run_entry
from halo_core.workspace.layout import Target, Workspace, find

DAY_S = 24 * 3600


def existing_workspace(folder: str) -> Path:
    """Returns the folder of a workspace.

    Raises:
        UserError: When there is no such folder.
    """
    root = Path(folder).expanduser().resolve()
    if not root.is_dir():
        raise UserError(
            "there is no such folder; name a workspace with --workspace or HALO_WORKSPACE",
            location=str(root),
        )
    return root


def only_run(text: str, workspace: str) -> RunEntry:
    """Returns the run that a text refers to.

    Raises:
        UserError: When there is none, or it is a suite.
    """
    target = find(text, Path(workspace).expanduser())
    if target.kind == "suite":
        raise UserError(
            "is a suite; name one of its runs: halo runs shows them", location=target.folder.name
        )
    return run_entry(target.folder)


def chosen_runs(
    workspace: str, choice: Choice, older_than_days: float, output: Output
) -> list[Target]:
    """Returns the runs of a workspace that a choice names. Runs that are running are left out.

    Args:
        workspace: The workspace's folder.
        choice: The states and the spec.
        older_than_days: Minimum number of days since the last event of a run.
        output: The command's output, which says how many are left out.

    Raises:
        UserError: When there is no such workspace, or no run of the spec.
    """
    root = existing_workspace(workspace)
    before = time.time() - older_than_days * DAY_S
    fitting = [
        entry
        for entry in choose(run_entries(Workspace(root)), choice)
        if (entry.state.active or 0) <= before
    ]
    running = [entry.shown for entry in fitting if entry.state.state == "running"]
    if running:
        output.say(f"left out, because they are running: {', '.join(running)}\n")
    return [
        Target("run", entry.folder)
        for entry in fitting
        if entry.state.state != "running" and entry.folder.parent == root / "runs"
    ]


def removable(text: str, workspace: str) -> Target:
    """Returns the run or suite to remove that a text refers to.

    Raises:
        UserError: When there is none, or it is reached through a link out of the workspace.
    """
    root = existing_workspace(workspace)
    target = find(text, root)
    lexical = Path(text).expanduser().absolute()
    for path in (lexical, root / f"{target.kind}s" / text):
        if path.is_symlink():
            raise UserError(
                "is a link, and halo follows no links when it removes something; remove the link "
                f"itself, or name the run in its own workspace {target.workspace}",
                location=str(path),
            )
    if "/" not in text and target.workspace != root:
        raise UserError(
            f"is a link to {target.folder}, outside of this workspace, so it is not removed",
            location=text,
        )
    return target
