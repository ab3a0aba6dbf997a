"""Finds out whether the process of a stage or a run ended without an error message.

Code that calls `os._exit`, a crash of a library, a power cut and the system's out-of-memory killer
end a process at once. It cannot report that itself. But its record as the owner of the folder
stays, and the next command finds it. On Linux, the watcher of the process has reported it before
(`halo_core.cli.watcher`).
"""

from __future__ import annotations

import time
from pathlib import Path

from halo_core.run.plan import Plan
from halo_core.workspace.lock import dead_owner


def silent_end(folder: Path) -> str | None:
    """Returns a sentence about the last process in a folder; None if it gave the folder back.

    Args:
        folder: The folder of a stage or a run.
    """
    owner = dead_owner(folder)
    if owner is None:
        return None
    since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(owner["since"]))
    return (
        f"process {owner['process']} on {owner['host']}, which began here at {since}, ended "
        "without an error message: it was killed, memory ran out, a library crashed, or code "
        "ended the process with os._exit"
    )


def silent_end_of_run(plan: Plan) -> str | None:
    """Returns a sentence about the last process of a run, if it did not end within a stage."""
    for stage in plan.stages:
        if stage.state == "started" and silent_end(stage.folder):
            return None
    return silent_end(plan.run_folder)
