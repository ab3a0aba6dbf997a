"""Waits for a process, unless it stands still: neither it nor a process that it started works."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path

from halo_core.testing.processes.children import children_of

IDLE_S = 10.0
"""Seconds without any CPU time after which a process counts as one that stands still."""

ROUND_S = 0.01
"""Seconds between two looks at a process."""


def ends(child: int, idle_s: float | None = None) -> bool:
    """Waits for the end of a process of this one, and returns whether it has ended.

    It does not wait for a process that stands still. Without ``/proc``, it waits as long as needed.

    Args:
        child: The id of the process.
        idle_s: Seconds without CPU time; `IDLE_S` if None.
    """
    idle_s = IDLE_S if idle_s is None else idle_s
    if not Path(f"/proc/{child}/stat").exists():
        os.waitpid(child, 0)
        return True
    begun, worked = time.monotonic(), -1
    while not os.waitpid(child, os.WNOHANG)[0]:
        now = _work_of(child)
        if now != worked:
            begun, worked = time.monotonic(), now
        elif time.monotonic() - begun > idle_s:
            return False
        time.sleep(ROUND_S)
    return True


def _work_of(process: int) -> int:
    """Returns the ticks of CPU time that a process and those below it used."""
    ticks = sum(_work_of(each) for each in children_of(process))
    with suppress(OSError, ValueError, IndexError):  # It has ended.
        # The name of the program, which may have blanks, is in parentheses.
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        ticks += sum(map(int, fields[11:15]))
    return ticks


__all__ = ["ends"]
