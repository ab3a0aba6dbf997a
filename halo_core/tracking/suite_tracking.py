"""Reports a whole suite to trackers from a separate thread. A broken tracker causes a warning."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from halo_core.redact import one_line
from halo_core.tracker import SuiteStatus, Tracker
from halo_core.tracking.descriptions import Description, describe_all

CLOSE_DEADLINE_S = 30.0
ATTEMPTS = 3
"""Number of attempts to report the end of a suite to a tracker."""


class SuiteTracking:
    """Keeps trackers up to date with a suite.

    Args:
        trackers: The trackers by their names. Trackers that show no suites answer None.
        suite: The suite's folder.
        workspace: The workspace.
        warn: Shows a warning.

    Attributes:
        told: Descriptions of the trackers by name.
    """

    def __init__(
        self,
        trackers: Mapping[str, Tracker],
        suite: Path,
        workspace: Path,
        warn: Callable[[str], None],
    ) -> None:
        self.told: Mapping[str, Description] = {}
        self._trackers = trackers
        self._suite, self._workspace = suite, workspace
        self._warn = warn
        self._warned: set[str] = set()
        self._status: SuiteStatus = "running"
        self._news = threading.Event()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="halo-suite-tracking", daemon=True)
        if self._trackers:
            self._thread.start()

    def tell(self) -> None:
        """Reports that `suite.json` has changed. Returns at once."""
        self._news.set()

    def close(self, status: SuiteStatus, deadline_s: float = CLOSE_DEADLINE_S) -> None:
        """Waits until the trackers know the end, and warns about those that are too slow.

        Args:
            status: The final status of the suite.
            deadline_s: Maximum waiting time in seconds.
        """
        self._status = status
        # Set before the event: a thread that the event wakes must see that it is the last one.
        self._closing.set()
        self._news.set()
        if not self._thread.is_alive():
            return
        self._thread.join(deadline_s)
        if self._thread.is_alive():
            self._warn_once(
                "suite", "a tracker does not answer; it shows an old state of the suite"
            )

    def _run(self) -> None:
        while True:
            self._news.wait()
            # Cleared before reporting: changes that come meanwhile are reported in the next round.
            self._news.clear()
            closing = self._closing.is_set()
            for name in self._trackers:
                if closing:
                    self._tell_end(name)
                else:
                    self._tell(name, "running")
            if closing:
                return

    def _tell_end(self, name: str) -> None:
        for attempt in range(ATTEMPTS):
            time.sleep(attempt)
            if self._tell(name, self._status):
                return
        what = f"{name}: it does not know how the suite ended; run the same command to report again"
        self._warn_once(f"{name} at the end", what)

    def _tell(self, name: str, status: SuiteStatus) -> bool:
        failures: list[BaseException] = []
        tracker = self._trackers[name]
        descriptions = describe_all(
            {name: tracker},
            "tell_suite",
            lambda _: tracker.tell_suite(self._suite, self._workspace, status),
            lambda _, error: failures.append(error),
        )
        self.told = {**self.told, **descriptions}
        for error in failures:
            self._warn_once(name, f"{name}: {one_line(error)}; the suite continues without it")
        return not failures

    def _warn_once(self, name: str, message: str) -> None:
        if name not in self._warned:
            self._warned.add(name)
            self._warn(message)
