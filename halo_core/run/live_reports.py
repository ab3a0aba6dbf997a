"""Keeps the pages of a run up to date while it is in progress, from a process of their own.

Drawing a page takes seconds of a processor. So the controller starts `halo_core.run.report_writer`
with a low priority, and never waits for it while stages run. A short run is over before the writer
starts: its pages are written once, at its end.
"""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import cast

from halo_core.spec.resolved import Resolved
from halo_core.tracker import Report

FIRST_S = 15.0
"""Seconds after the start of a run at which the writer starts."""
LAST_S = 20.0
"""Longest time to wait for the page of a run that failed or was stopped."""
END_S = 5.0
LAST = b"last"
"""Message that asks the writer for a last page."""


class LiveReports:
    """Runs the writer of a run's pages as long as the block lasts.

    Args:
        reports: The reports of the spec. Nothing is started if none of them can be written while
            the run is in progress.
        run: The run's folder.
        first_s: Seconds until the writer starts.
    """

    def __init__(
        self, reports: Iterable[Resolved], run: Path, first_s: float | None = None
    ) -> None:
        self._wanted = any(cast(Report, report.component).live for report in reports)
        self._run = run
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()
        self._over = False
        self._timer = threading.Timer(FIRST_S if first_s is None else first_s, self._start)
        self._timer.daemon = True

    def __enter__(self) -> LiveReports:
        if self._wanted:
            self._timer.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.end()

    def end(self) -> None:
        """Ends the writer. Afterwards it does not change any page."""
        process = self._taken()
        if process is not None:
            with process:
                process.terminate()
                _wait(process, END_S)

    def write_last(self) -> None:
        """Lets the writer write the pages of a run that did not reach its end, and waits for it.

        If the writer has not started, there are no pages. A page that cannot be drawn in `LAST_S`
        stays as it is.
        """
        process = self._taken()
        if process is None:
            return
        with process:
            assert process.stdin is not None
            with suppress(OSError):  # It has ended by itself.
                process.stdin.write(LAST)
                process.stdin.close()
            _wait(process, LAST_S)

    def _start(self) -> None:
        with self._lock:
            if not self._over:
                # A session of its own: Ctrl-C in a terminal is for the run.
                self._process = subprocess.Popen(
                    [sys.executable, "-m", "halo_core.run.report_writer", str(self._run)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    start_new_session=True,
                )

    def _taken(self) -> subprocess.Popen[bytes] | None:
        """Returns the writer once, and lets no writer start from now on."""
        self._timer.cancel()
        with self._lock:
            self._over = True
            process, self._process = self._process, None
        return process


def _wait(process: subprocess.Popen[bytes], seconds: float) -> None:
    try:
        process.wait(seconds)
    except (subprocess.TimeoutExpired, KeyboardInterrupt):
        process.kill()
