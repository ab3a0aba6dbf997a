"""The process of the run whose events this process sends."""

from __future__ import annotations

import os

_process: list[int] = []


def run_process() -> int:
    """Returns the id of the process that runs the run: of this one, unless another was set."""
    return _process[0] if _process else os.getpid()


def set_run_process(process: int) -> None:
    """Declares that this process sends the events of a run of another process."""
    _process[:] = [process]
