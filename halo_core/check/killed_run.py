"""Runs ``halo`` in a process that kills itself after a step of a training.

``python -m halo_core.check.killed_run STEP run SPEC`` is ``halo run SPEC``, up to the step. Another
process that watches the training may be late on a busy machine, and would kill it after its end.
"""

from __future__ import annotations

import os
import runpy
import signal
import sys
from typing import Any

from halo_core.events import EventLog

_append = EventLog.append


def _append_and_die(self: EventLog, type_: str, **fields: Any) -> None:
    _append(self, type_, **fields)
    if type_ == "metrics" and "train/loss" in fields["metrics"] and fields["step"] >= _last:
        os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    _last = int(sys.argv.pop(1))
    EventLog.append = _append_and_die  # type: ignore[method-assign]
    runpy.run_module("halo_core.cli", run_name="__main__", alter_sys=True)
