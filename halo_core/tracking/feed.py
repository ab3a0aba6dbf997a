"""One tracker's way through the events of a run: what it was given, and how far it came.

Events are read from the run's file, never kept in memory, and the place behind the last event that
the tracker took is kept in `tracking.json`, so that a later process goes on there.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path

from halo_core.errors import DataError, VersionError
from halo_core.events import Event, read_events
from halo_core.guarded.blame import blaming, plugin_error
from halo_core.tracker import StartOver, Tracker, TrackerSession
from halo_core.workspace.records import EVENTS, TRACKING, TrackingRecord

BATCH = 200
"""Events handed over at once."""
PULSE_S = 30.0
"""Seconds without events after which a tracker is called with none, as a sign of life."""


class Offsets:
    """How many bytes of the events each tracker of a run took; shared by their threads.

    Args:
        run: The run's folder, where `tracking.json` lies.
    """

    def __init__(self, run: Path) -> None:
        self._run = run
        self._lock = threading.Lock()
        self._offsets: dict[str, int] = _read_offsets(run)

    def get(self, name: str) -> int:
        """Returns the offset behind the last event that a tracker took."""
        return self._offsets.get(name, 0)

    def set(self, name: str, offset: int) -> None:
        """Remembers an offset, on disk too."""
        with self._lock:
            self._offsets[name] = offset
            TRACKING.write(self._run, TrackingRecord(offsets=self._offsets))


def _read_offsets(run: Path) -> dict[str, int]:
    try:
        record = TRACKING.read(run)
        return {str(k): int(v) for k, v in record["offsets"].items()} if record else {}
    except (DataError, ValueError, TypeError, AttributeError):
        return {}  # Unreadable is as good as absent: handling an event twice does no harm.


class Feed:
    """Hands the events of a run to one tracker.

    Args:
        name: The name of the tracker, for messages and as the key of its offset.
        tracker: The tracker. Whatever its session raises by accident blames the plugin it is from.
        run: The run's folder.
        workspace: The workspace.
        offsets: How far the trackers came.

    Attributes:
        delivered: Whether the tracker ever took events from this feed.
        events: How many it took.
    """

    def __init__(
        self, name: str, tracker: Tracker, run: Path, workspace: Path, offsets: Offsets
    ) -> None:
        self.name = name
        self.delivered = False
        self.events = 0
        self.tracker = tracker
        self._run, self._workspace = run, workspace
        self._file = run / EVENTS.name
        self._offsets = offsets
        self._session: TrackerSession | None = None
        self._called = time.monotonic()

    def step(self) -> bool:
        """Hands the next events over and returns whether there were any.

        Raises:
            Exception: Whatever the tracker raises; the next call hands it the same events.
        """
        session = self._session or self._open()
        events, offset = read_batch(self._file, self._offsets.get(self.name))
        if not events:
            self._pulse(session)
            return False
        if not self._hand_over(session, events):
            return True
        self._called = time.monotonic()
        self.delivered = True
        self.events += len(events)
        self._offsets.set(self.name, offset)
        return True

    @property
    def offset(self) -> int:
        """Bytes of the run's events that the tracker took, in this process or an earlier one."""
        return self._offsets.get(self.name)

    def rewind(self) -> None:
        """Makes the next step begin with the run's first event."""
        self._offsets.set(self.name, 0)

    def finish(self) -> None:
        """Tells the tracker of the end of a run whose process ended without a word.

        Only to be called when the run is not running any more.
        """
        last = last_start_or_end(self._file)
        if self._session is not None and last is not None and last["type"] == "run-started":
            self._hand_over(self._session, [_unsaid_end(last)])

    def describe(self) -> object:
        """Returns what the tracker says of itself, unchecked; None while it is not open."""
        return self._session.describe() if self._session else None

    def close(self) -> None:
        """Closes the tracker's session."""
        if self._session is not None:
            with blaming(self.tracker, "close"):
                self._session.close()

    def _open(self) -> TrackerSession:
        with blaming(self.tracker, "open"):
            session: object = self.tracker.open(self._run, self._workspace)
        if not isinstance(session, TrackerSession):
            what = f"returned a {type(session).__name__}; expected a subclass of TrackerSession"
            raise plugin_error(self.tracker, "open", what)
        self._session = session
        return session

    def _hand_over(self, session: TrackerSession, events: Sequence[Event]) -> bool:
        """Returns whether events were taken; else the tracker gets the run's first ones next."""
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
            what = "raised StartOver, though it was given the run's first events"
            raise plugin_error(self.tracker, "handle", what)
        self._offsets.set(self.name, 0)


def read_batch(path: Path, offset: int, limit: int = BATCH) -> tuple[list[Event], int]:
    """Returns the next events behind an offset, and the offset behind them.

    A whole line that is no event (a disk was full once) is passed over. An offset behind the end
    of the file belongs to another file; reading then starts at the beginning.
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
        # No damage: passing over what a newer halo wrote would lose it for good.
        except VersionError:
            raise
        except DataError:
            if not events:
                offset = _behind_line(path, offset)
    return events, offset


def last_start_or_end(path: Path) -> Event | None:
    """Returns the last `run-started` or `run-ended`, with the time of the last event of all."""
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
        "error": "the process ended without a word",
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
