"""One tracker's progress through the events of a run.

Events are read from the run's file and never kept in memory. The position after the last event that
the tracker took is kept in `tracking.json`, so that a later process continues there.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from halo_core.errors import BusyError, DataError, VersionError
from halo_core.events import Event, read_events
from halo_core.guarded.blame import blaming, plugin_error
from halo_core.tracker import StartOver, Tracker, TrackerSession
from halo_core.workspace.lock import held, sender_lock
from halo_core.workspace.records import EVENTS, TRACKING, TrackingRecord

if TYPE_CHECKING:
    from filelock import BaseFileLock

BATCH = 1000
"""Maximum number of events that are sent at once."""
FEWER = 100
"""Maximum number of events that are sent at once after an error, until some are taken."""
PATIENCE_S = 60.0
"""Maximum time to wait for another process that still sends the run. It has less time to end."""
PULSE_S = 30.0
"""Seconds without events after which a tracker is called with no events, as a sign of life."""


class Offsets:
    """Number of bytes of the events that each tracker of a run took. Their processes share it.

    Args:
        run: The run's folder, which contains `tracking.json`.
    """

    def __init__(self, run: Path) -> None:
        self._run = run
        self._offsets: dict[str, int] = _read_offsets(run)

    def get(self, name: str) -> int:
        """Returns the offset after the last event that a tracker took."""
        return self._offsets.get(name, 0)

    def set(self, name: str, offset: int) -> None:
        """Saves an offset, also on disk. Offsets that other processes saved stay."""
        self._offsets[name] = offset
        with held(self._run / TRACKING.name):
            offsets = {**_read_offsets(self._run), name: offset}
            TRACKING.write(self._run, TrackingRecord(offsets=offsets))


def _read_offsets(run: Path) -> dict[str, int]:
    try:
        record = TRACKING.read(run)
        return {str(k): int(v) for k, v in record["offsets"].items()} if record else {}
    except (DataError, ValueError, TypeError, AttributeError):
        return {}  # An unreadable file counts as absent: sending an event twice does no harm.


class Feed:
    """Hands the events of a run to one tracker.

    Args:
        name: The name of the tracker, for messages and as the key of its offset.
        tracker: The tracker. An unexpected error of its session names its plugin.
        run: The run's folder.
        workspace: The workspace.
        offsets: The offsets of all trackers.

    Attributes:
        run: The run's folder.
        delivered: Whether the tracker ever took events from this feed.
        events: Number of events that it took.
    """

    def __init__(
        self, name: str, tracker: Tracker, run: Path, workspace: Path, offsets: Offsets
    ) -> None:
        self.name = name
        self.delivered = False
        self.events = 0
        self.tracker = tracker
        self.run, self._workspace = run, workspace
        self._file = run / EVENTS.name
        self._offsets = offsets
        self._session: TrackerSession | None = None
        self._lock: BaseFileLock | None = None
        self._limit = BATCH
        self._called = time.monotonic()

    def step(self) -> bool:
        """Sends the next events and returns whether there were any.

        Raises:
            Exception: Any error of the tracker. The next call sends the same events.
        """
        session = self._session or self._open()
        limit, self._limit = self._limit, FEWER  # A request of a large part may always fail.
        events, offset = read_batch(self._file, self._offsets.get(self.name), limit)
        if not events:
            self._pulse(session)
            self._limit = BATCH
            return False
        taken = self._hand_over(session, events)
        self._limit = BATCH
        if not taken:
            return True
        self._called = time.monotonic()
        self.delivered = True
        self.events += len(events)
        self._offsets.set(self.name, offset)
        return True

    @property
    def offset(self) -> int:
        """Number of bytes of events that the tracker took, in this process or an earlier one."""
        return self._offsets.get(self.name)

    @property
    def behind(self) -> int:
        """Number of bytes of events that the tracker did not take yet."""
        try:
            return max(0, self._file.stat().st_size - self.offset)
        except FileNotFoundError:
            return 0

    def rewind(self) -> None:
        """Makes the next step start with the run's first event."""
        self._offsets.set(self.name, 0)

    def finish(self) -> None:
        """Reports the end of a run whose process ended without an event.

        Call this only when the run is no longer running.
        """
        last = last_start_or_end(self._file)
        if self._session is not None and last is not None and last["type"] == "run-started":
            self._hand_over(self._session, [_unsaid_end(last)])

    def leave(self, reason: str) -> None:
        """Reports how the run ended to a tracker that did not take all events.

        Nothing is reported if the tracker is not open, or the run has not ended.
        """
        last = last_start_or_end(self._file)
        if self._session is not None and last is not None and last["type"] == "run-ended":
            with blaming(self.tracker, "leave"):
                self._session.leave(str(last["status"]), reason)

    def describe(self) -> object:
        """Returns the tracker's unchecked description; None while it is not open."""
        return self._session.describe() if self._session else None

    def close(self) -> None:
        """Closes the tracker's session. Another process may then send the run."""
        try:
            if self._session is not None:
                with blaming(self.tracker, "close"):
                    self._session.close()
        finally:
            if self._lock is not None:
                self._lock.release()

    def _open(self) -> TrackerSession:
        self._take_turn()
        with blaming(self.tracker, "open"):
            session: object = self.tracker.open(self.run, self._workspace)
        if not isinstance(session, TrackerSession):
            what = f"returned a {type(session).__name__}; expected a subclass of TrackerSession"
            raise plugin_error(self.tracker, "open", what)
        self._session = session
        return session

    def _take_turn(self) -> None:
        """Waits until no other process sends this run to this tracker."""
        from filelock import Timeout

        if self._lock is not None:
            return
        lock = sender_lock(self.run, self.name)
        try:
            lock.acquire(timeout=PATIENCE_S)
        except Timeout:
            raise BusyError(
                "another process still sends this run to the tracker; wait for it, or end it",
                location=lock.lock_file,
            ) from None
        self._lock = lock

    def _hand_over(self, session: TrackerSession, events: Sequence[Event]) -> bool:
        """Returns whether events were taken. If not, the next step starts with the first ones."""
        with blaming(self.tracker, "handle"):
            try:
                session.handle(events)
            except StartOver:
                pass
            else:
                return True
        self._start_over()
        return False

    def _pulse(self, session: TrackerSession) -> None:
        if time.monotonic() - self._called >= PULSE_S:
            self._called = time.monotonic()
            self._hand_over(session, ())

    def _start_over(self) -> None:
        if self._offsets.get(self.name) == 0:
            what = "raised StartOver, although it was given the run's first events"
            raise plugin_error(self.tracker, "handle", what)
        self._offsets.set(self.name, 0)


def read_batch(path: Path, offset: int, limit: int = BATCH) -> tuple[list[Event], int]:
    """Returns the next events after an offset, and the offset after them.

    A whole line that is not an event (from a full disk, for example) is skipped. An offset beyond
    the end of the file belongs to another file. Reading then starts at the beginning.
    """
    if path.exists() and offset > path.stat().st_size:
        offset = 0
    events: list[Event] = []
    while not events:
        try:
            for event, behind in islice(read_events(path, offset=offset), limit):
                events.append(event)
                offset = behind
            return events, offset
        # This is not damage. If events of a newer halo were skipped, they would be lost for good.
        except VersionError:
            raise
        except DataError:
            if not events:
                offset = _behind_line(path, offset)
    return events, offset


def last_start_or_end(path: Path) -> Event | None:
    """Returns the last `run-started` or `run-ended`, with the time of the last event."""
    last: Event | None = None
    offset, more = 0, True
    while more:
        events, offset = read_batch(path, offset)
        for event in events:
            if event["type"] in ("run-started", "run-ended"):
                last = event
            elif last is not None:
                last = {**last, "time": event["time"]}
        more = bool(events)
    return last


def _unsaid_end(last: Event) -> Event:
    return {
        "v": 1,
        "time": last["time"],
        "type": "run-ended",
        "status": "failed",
        "headline": "",
        "error": "the process ended without reporting its end",
    }


def _behind_line(path: Path, offset: int) -> int:
    with path.open("rb") as file:
        file.seek(offset)
        file.readline()
        return file.tell()


def make_feeds(trackers: Mapping[str, Tracker], run: Path, workspace: Path) -> list[Feed]:
    """Returns a feed for each tracker, under its name."""
    offsets = Offsets(run)
    return [Feed(name, tracker, run, workspace, offsets) for name, tracker in trackers.items()]
