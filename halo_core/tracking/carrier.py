"""Sends a run's events to trackers while it runs, from threads.

`halo run` does this in a process for each tracker (`halo_core.tracking.processes`), and never in
the process that trains. Each tracker has its own thread, which reads the run's `events.jsonl`. If a
tracker raises an error or hangs, this affects no other tracker. The events are sent again later,
with growing pauses. Events that a tracker has not taken by the end of the run can be sent with
`halo sync`.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from shlex import quote
from types import TracebackType
from typing import Self

from halo_core.redact import one_line
from halo_core.tracker import Tracker
from halo_core.tracking.descriptions import Description, describe_all
from halo_core.tracking.feed import Feed, make_feeds

POLL_S = 0.5
GATHER_S = 5.0
"""Seconds to wait after events were sent, so that the next ones are sent together."""
BACKLOG = 100_000
"""Number of bytes of events that are sent without waiting."""
FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 60.0
CLOSE_DEADLINE_S = 30.0
LAST_WORDS_S = 2.0
"""Seconds that unresponsive trackers get to say where they show the run."""


class Tracking:
    """A context manager that keeps the trackers of a run up to date.

    Args:
        trackers: The trackers by their names.
        run: The run's folder.
        workspace: The workspace.
        warn: Shows a warning. It is called from the trackers' threads.
    """

    def __init__(
        self,
        trackers: Mapping[str, Tracker],
        run: Path,
        workspace: Path,
        warn: Callable[[str], None],
    ) -> None:
        self._run = run
        self._warn = warn
        self._closing = threading.Event()
        self._given_up = threading.Event()
        self._killed = threading.Event()
        self._carriers = [
            _Carrier(feed, self._closing, self._given_up, self._killed, warn)
            for feed in make_feeds(trackers, run, workspace)
        ]

    def __enter__(self) -> Self:
        for carrier in self._carriers:
            carrier.start()
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self, deadline_s: float = CLOSE_DEADLINE_S, *, killed: bool = False) -> None:
        """Waits until the trackers took all events, and warns about those that are too slow.

        A tracker that never took an event gets one last attempt without waiting.

        Args:
            deadline_s: Maximum waiting time in seconds for all trackers together.
            killed: Whether the process of the run is gone. The trackers are then told that the run
                failed, unless its events say how it ended.
        """
        if self._given_up.is_set():
            return
        if killed:
            self._killed.set()
        self._closing.set()
        deadline = time.monotonic() + deadline_s
        for carrier in self._carriers:
            carrier.join(max(0.0, deadline - time.monotonic()))
        self._given_up.set()
        last = time.monotonic() + LAST_WORDS_S
        for carrier in self._carriers:
            carrier.join(max(0.0, last - time.monotonic()))
            if not carrier.drained:
                self._warn(not_everything(carrier.feed.name, self._run))

    @property
    def drained(self) -> bool:
        """Whether the trackers took all events."""
        return all(carrier.drained for carrier in self._carriers)

    def describe(self) -> dict[str, Description]:
        """Returns the descriptions that trackers gave when they were closed, by their names."""
        return {
            name: description
            for carrier in self._carriers
            for name, description in carrier.told.items()
        }


class _Carrier(threading.Thread):
    """The thread of one tracker."""

    def __init__(
        self,
        feed: Feed,
        closing: threading.Event,
        given_up: threading.Event,
        killed: threading.Event,
        warn: Callable[[str], None],
    ) -> None:
        # A daemon thread, because a tracker that hangs must not keep the process from ending.
        super().__init__(name=f"halo-tracking-{feed.name}", daemon=True)
        self.feed = feed
        self.drained = False
        self.told: Mapping[str, Description] = {}
        self._closing, self._given_up, self._killed = closing, given_up, killed
        self._warn = warn
        self._pause_s = 0.0
        self._reason = "they were late"

    def run(self) -> None:
        self._carry()
        if not self.drained:
            with contextlib.suppress(BaseException):  # The warning at the end says that it lacks.
                self.feed.leave(f"{self._reason}; halo sync {self.feed.run.name} sends the rest")
        trackers = {self.feed.name: self.feed.tracker}
        self.told = describe_all(trackers, "describe", lambda _: self.feed.describe(), self._mute)
        with contextlib.suppress(Exception):  # All is sent already, so nothing is lost.
            self.feed.close()

    def _carry(self) -> None:
        while not (self._given_up.is_set() or self.drained):
            # Read before the step, so that the step reaches all that was appended before closing.
            closing = self._closing.is_set()
            try:
                more = self.feed.step()
                if closing and not more and self._killed.is_set():
                    self.feed.finish()
            # SystemExit too: it would end the thread, and with it the tracker, silently.
            except BaseException as error:
                self._failed(error)
                if closing and not self.feed.delivered:
                    break
                self._wait(closing)
                continue
            self._pause_s = 0.0
            self.drained = closing and not more
            if not (self.drained or self.feed.behind > BACKLOG):
                self._closing.wait(GATHER_S if more else POLL_S)

    def _mute(self, name: str, error: BaseException) -> None:
        self._warn(f"{name}: {one_line(error)}; its links are not shown")

    def _failed(self, error: BaseException) -> None:
        self._reason = one_line(error)
        if not self._pause_s:
            self._warn(
                f"{self.feed.name}: {one_line(error)}; training continues, and halo will try again "
                "later"
            )
        self._pause_s = min(LONGEST_PAUSE_S, max(FIRST_PAUSE_S, 2 * self._pause_s))

    def _wait(self, closing: bool) -> None:
        if closing:
            self._given_up.wait(FIRST_PAUSE_S)
        else:
            self._closing.wait(self._pause_s)


def not_everything(name: str, run: Path) -> str:
    """Returns the warning that a tracker did not take all events of a run."""
    folder = quote(shown_path(run))
    return f"{name}: not everything reached {name}; halo sync {folder} sends the rest"


def shown_path(path: Path) -> str:
    """Returns a path as a user would type it: relative to the current folder if below it."""
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("..") else relative


__all__ = ["CLOSE_DEADLINE_S", "LAST_WORDS_S", "Tracking", "not_everything", "shown_path"]
