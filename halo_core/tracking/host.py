"""The process of one tracker: ``python -m halo_core.tracking.host``.

The controller starts it (`halo_core.tracking.processes`). Its standard input is a pipe with one
JSON object per line: first what to send and where, at the end the deadline. The end of the pipe
without a deadline means that the controller was killed. Its standard output is a pipe for one JSON
object per warning, and one at the end. What the tracker prints goes to the standard error.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from halo_core.parent_death import leave_after

POLITE = 5
"""Priority of the process during the run, as a number for `os.nice`. Training comes first."""
POLL_S = 1.0
"""Seconds after which the process looks whether its controller lives."""
ABANDONED_S = 20.0
"""Maximum time to send the rest after the controller was killed."""
EXIT_S = 5.0
"""Maximum time for the tracker's own work at the exit of the process."""


class Answers:
    """Writes the answers to the controller. Without a reader, they are dropped."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._lock = threading.Lock()

    def give(self, answer: Mapping[str, Any]) -> None:
        """Writes one answer."""
        with self._lock, contextlib.suppress(OSError):
            self._file.write(json.dumps(answer).encode() + b"\n")
            self._file.flush()

    def warn(self, message: str) -> None:
        """Lets the controller show a warning."""
        self.give({"warning": message})


def main() -> None:
    """Sends the events of a run to a tracker until the controller says or shows that it is over."""
    os.nice(POLITE)
    leave_after(ABANDONED_S + 2 * EXIT_S)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # They are for the run. This process ends after it.
    answers = Answers(os.fdopen(os.dup(1), "wb"))
    os.dup2(2, 1)
    orders = Orders(0)
    if (first := orders.next()) is not None:
        _serve(first, orders, answers)
    leave = threading.Timer(EXIT_S, os._exit, [0])
    leave.daemon = True
    leave.start()


class Orders:
    """The lines that the controller writes.

    Args:
        descriptor: The reading end of the pipe.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._controller = os.getppid()
        self._read = b""

    def next(self) -> dict[str, Any] | None:
        """Waits for the next line, and returns its object; None if the controller is gone."""
        while b"\n" not in self._read:
            readable, _, _ = select.select([self._descriptor], [], [], POLL_S)
            # A process that the controller forked may still hold its end of the pipe.
            if not readable and os.getppid() != self._controller:
                return None
            if readable:
                piece = os.read(self._descriptor, 65_536)
                if not piece:
                    return None
                self._read += piece
        line, _, self._read = self._read.partition(b"\n")
        order: dict[str, Any] = json.loads(line)
        return order


def _serve(first: Mapping[str, Any], orders: Orders, answers: Answers) -> None:
    from halo_core.garbage import few_collections
    from halo_core.redact import one_line
    from halo_core.tracking.carrier import Tracking
    from halo_core.tracking.run_process import set_run_process
    from halo_core.tracking.send import resolved_trackers

    set_run_process(int(first["process"]))
    run, name = Path(first["run"]), str(first["name"])
    try:
        (tracker,) = resolved_trackers([first["tracker"]], run)
    except BaseException as error:
        answers.warn(f"{name}: {one_line(error)}; training continues without it")
        orders.next()
        answers.give({"ended": True, "drained": False, "told": {}})
        return
    workspace = Path(first["workspace"])
    with few_collections(), Tracking({name: tracker}, run, workspace, answers.warn) as tracking:
        last = orders.next()
        _hurry()
        if last is None:
            _silence()
            tracking.close(ABANDONED_S, killed=True)
        else:
            tracking.close(max(0.0, float(last["deadline"]) - time.monotonic()))
        told = tracking.describe()
    answers.give({"ended": True, "drained": tracking.drained, "told": told})


def _hurry() -> None:
    """Gives all threads the usual priority, where the system permits it: the run waits for them."""
    tasks = Path("/proc/self/task")
    ids = [int(task.name) for task in tasks.iterdir()] if tasks.is_dir() else [0]
    for id_ in ids:
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, id_, 0)


def _silence() -> None:
    """Drops all that is printed from now on, because nobody reads it."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 1)
    os.dup2(nothing, 2)


if __name__ == "__main__":
    main()
