"""Runs each tracker of a run in a process of its own, with a low priority.

A tracker takes processor time for every point. In the process that trains, every step would wait
for it. `halo_core.tracking.host` is the program of these processes. They end after the run, or when
the process of the run is gone. Nothing that happens in them makes the run fail.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from halo_core.display.relay import print_lines
from halo_core.process_end import how_ended
from halo_core.redact import one_line, redact
from halo_core.spec.resolved import Resolved
from halo_core.tracking.carrier import CLOSE_DEADLINE_S, LAST_WORDS_S, not_everything
from halo_core.tracking.descriptions import Description
from halo_core.tracking.send import trackers_of

ATTEMPTS = 3
"""Number of times that the process of a tracker is started if it crashes."""
RESTART_S = 5.0
"""Seconds between a crash and the next start."""
MARGIN_S = 3.0
"""Seconds after the deadline in which a process may still end by itself."""
EXIT_S = 2.0
"""Seconds for the exit of a process that has sent all."""


class TrackerProcesses:
    """A context manager that keeps the trackers of a run up to date, each from its own process.

    Args:
        trackers: The trackers of the spec.
        run: The run's folder.
        workspace: The workspace.
        warn: Shows a warning. It is called from threads.
        say: Shows a line that a tracker printed. It is called from threads.
    """

    def __init__(
        self,
        trackers: Sequence[Resolved],
        run: Path,
        workspace: Path,
        warn: Callable[[str], None],
        say: Callable[[str], None],
    ) -> None:
        self._run, self._warn = run, warn
        self._closed = False
        self._processes = [
            _TrackerProcess(name, resolved, run, workspace, warn, say)
            for name, resolved in zip(trackers_of(trackers), trackers, strict=True)
        ]

    def __enter__(self) -> Self:
        for process in self._processes:
            process.start()
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self, deadline_s: float = CLOSE_DEADLINE_S) -> None:
        """Waits until the trackers took all events, and warns about those that are too slow.

        Args:
            deadline_s: Maximum waiting time in seconds for all trackers together.
        """
        if self._closed:
            return
        self._closed = True
        deadline = time.monotonic() + deadline_s
        last = deadline + LAST_WORDS_S + MARGIN_S
        try:
            for process in self._processes:
                process.close(deadline)
            for process in self._processes:
                process.join(max(0.0, last - time.monotonic()))
        finally:  # After a second Ctrl-C too.
            for process in self._processes:
                process.kill()
        for process in self._processes:
            process.join(EXIT_S)
            late = not_everything(process.tracker, self._run)
            if not process.has_ended and late not in process.warned:
                self._warn(late)

    def describe(self) -> dict[str, Description]:
        """Returns the descriptions that trackers gave when they were closed, by their names."""
        return {
            name: description
            for process in self._processes
            for name, description in process.told.items()
        }


class _TrackerProcess(threading.Thread):
    """The thread that starts the process of a tracker, and takes what it says.

    Attributes:
        tracker: The name of the tracker.
        told: The descriptions by name, which is empty or has one entry.
        warned: The warnings that the process gave.
        has_ended: Whether the process said that it is at its end. It then gave all warnings itself.
    """

    def __init__(
        self,
        name: str,
        resolved: Resolved,
        run: Path,
        workspace: Path,
        warn: Callable[[str], None],
        say: Callable[[str], None],
    ) -> None:
        super().__init__(name=f"halo-tracker-{name}", daemon=True)
        self.tracker = name
        self.told: Mapping[str, Description] = {}
        self.warned: set[str] = set()
        self.has_ended = False
        self._first = {
            "process": os.getpid(),
            "run": str(run.resolve()),
            "workspace": str(workspace.resolve()),
            "name": name,
            "tracker": resolved.tree(),
        }
        self._warn, self._say = warn, say
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._deadline: float | None = None
        self._closing = threading.Event()
        self._killed = False

    def run(self) -> None:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                how = self._run_once()
            except OSError as error:
                how = f"cannot be started: {one_line(error)}"
            if self.has_ended or self._killed:
                return
            again = "; halo starts it again" if attempt < ATTEMPTS else ""
            self._warn(
                f"{self.tracker}: the process of the tracker {how}; training continues{again}"
            )
            self._closing.wait(RESTART_S)

    def close(self, deadline: float) -> None:
        """Tells the process when to end.

        Args:
            deadline: The time on the monotonic clock until which it may send events.
        """
        with self._lock:
            self._deadline = deadline
            self._closing.set()
            if self._process is not None:
                _write(self._process, {"deadline": deadline})

    def kill(self) -> None:
        """Ends the process at once, if it has not ended."""
        with self._lock:
            self._killed = True
            if self._process is not None and self._process.poll() is None:
                self._process.kill()

    def _run_once(self) -> str:
        """Runs the process to its end, and returns how it ended.

        Raises:
            OSError: When it cannot be started.
        """
        with self._lock:
            if self._killed:
                return ""
            process = self._process = _started()
            _write(process, self._first)
            if self._deadline is not None:
                _write(process, {"deadline": self._deadline})
        assert process.stdout is not None
        assert process.stderr is not None
        printing = print_lines(process.stderr, self._relay)
        for line in process.stdout:
            self._take(json.loads(line))
            if self.has_ended:
                break
        how = self._end_of(process)
        printing.finish()
        return how

    def _end_of(self, process: subprocess.Popen[bytes]) -> str:
        if self.has_ended:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(EXIT_S)
            self.kill()
        code = process.wait()
        with contextlib.suppress(OSError):
            assert process.stdin is not None
            process.stdin.close()
        return how_ended(code)

    def _take(self, answer: Mapping[str, Any]) -> None:
        if "warning" in answer:
            self.warned.add(str(answer["warning"]))
            self._warn(str(answer["warning"]))
        if answer.get("ended"):
            self.told = answer["told"]
            self.has_ended = True

    def _relay(self, line: str) -> None:
        self._say(f"{self.tracker}: {redact(line)}")


def _started() -> subprocess.Popen[bytes]:
    # The same modules as in this process are found, and none in the current folder.
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "halo_core.tracking.host"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
        # The terminal sends Ctrl-C to a whole group. It is for the run, and this process ends
        # after it. A session of its own would also be a scheduling group of its own.
        process_group=0,
    )


def _write(process: subprocess.Popen[bytes], order: Mapping[str, Any]) -> None:
    assert process.stdin is not None
    # It has crashed, which its thread finds. After that, its input is closed: a ValueError.
    with contextlib.suppress(OSError, ValueError):
        process.stdin.write(json.dumps(order).encode() + b"\n")
        process.stdin.flush()


__all__ = ["TrackerProcesses"]
