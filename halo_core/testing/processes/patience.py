"""A limit of time for code whose work may wait for a processor, on its own or through others.

The time in which a process waits for a processor does not count, and its sleep does. A
process that waits for its threads, or for processes that it started, may do so because these wait
for a processor. So on a busy machine it gets more time while they work, and none when they do not.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path

from halo_core.testing.processes.busy_machine import MOST, busy
from halo_core.testing.processes.children import children_of

LOOK_S = 1.0
"""Seconds between two looks at a process whose time is over."""
IDLE = 0.05
"""Share of a processor below which threads and processes count as idle."""


class Patience:
    """Says when code has had its seconds.

    Args:
        seconds: Seconds that the code may take on a quiet machine.
        process: The id of its process; None for the thread that calls.
    """

    def __init__(self, seconds: float, process: int | None = None) -> None:
        self._seconds = seconds
        self._process = os.getpid() if process is None else process
        task = "/proc/thread-self" if process is None else f"/proc/{process}/task/{process}"
        self._task = Path(task).resolve()
        self._begun, self._waited = time.monotonic(), _work(self._task)[1]
        self._looked: tuple[float, float] | None = None

    def left(self) -> float:
        """Returns the seconds after which to ask again; 0 if the time is over."""
        now = time.monotonic()
        wall = now - self._begun
        if wall >= self._seconds * MOST:
            return 0.0
        own = wall - (_work(self._task)[1] - self._waited)
        if own < self._seconds:
            return self._seconds - own
        if wall >= self._seconds * busy():
            return 0.0
        last = self._looked
        if last is not None and now - last[0] < LOOK_S:
            return last[0] + LOOK_S - now
        others = self._work_of_others()
        self._looked = now, others
        if last is not None and others - last[1] < IDLE * (now - last[0]):
            return 0.0
        return LOOK_S

    def _work_of_others(self) -> float:
        """Returns seconds of work, and of waiting for it, of all threads but the measured one."""
        found, processes = 0.0, [self._process]
        while processes:
            process = processes.pop()
            processes += children_of(process)
            with suppress(OSError):
                for task in Path(f"/proc/{process}/task").iterdir():
                    if task.resolve() != self._task:
                        found += sum(_work(task))
        return found


def _work(task: Path) -> tuple[float, float]:
    """Returns the seconds that a thread has worked, and those it has waited for a processor."""
    with suppress(OSError, ValueError, IndexError):
        worked, waited = (task / "schedstat").read_text().split()[:2]
        return int(worked) / 1e9, int(waited) / 1e9
    return 0.0, 0.0


__all__ = ["Patience"]
