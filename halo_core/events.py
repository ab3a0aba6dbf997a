"""The append-only record of a run: `events.jsonl`, one JSON object per line.

Rank 0 writes it while it works. Trackers, reports and `halo sync` read it outside of the loop.

Every event has ``v`` (1), ``time`` (Unix seconds) and ``type``:

| type | further fields |
|---|---|
| `run-started` | `name`, `run`, `spec`, `resolved` (in the run's folder), `command`, `stages` |
| `stage-started` | `stage`, `use`, `folder`, `resumed` |
| `metrics` | `stage`, `step` (>= 1), `metrics` (name to float), `examples` |
| `checkpoint` | `stage`, `step`, `path`, `best` |
| `samples` | `stage`, `path`, `count` |
| `verdicts` | `stage`, `path`, `count` |
| `feedback` | `stage`, `path`, `count` |
| `warning` | `stage` or null, `message` |
| `note` | `stage`, `message` (a fact, such as how a model is computed) |
| `stage-ended` | `stage`, `use`, `folder`, `product`, `status`, `metrics`, `headline` |
| `report` | `path` |
| `run-ended` | `status` (done, failed, interrupted), `headline`, `error` |

A `path` is relative to the folder of its stage, and that of a `report` to the folder of the run. A
step may appear twice after a resume. The last one counts. Equal warnings of a stage may be shown
once. The warning about a process that stands still is in the run's file alone, because it says
nothing about the result.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from halo_core.errors import DataError
from halo_core.known_secrets import hide_known_in
from halo_core.workspace.files import append_lines, beginning_of
from halo_core.workspace.records import EVENTS

Event = Mapping[str, Any]

SAID = ("message", "error", "headline", "command")
"""Fields that hold what somebody said. Others, such as paths, are needed as they are."""

TAIL_BYTES = 65_536
"""Number of bytes at the end of the events in which the last events are searched."""

EVENTS_AT_ONCE = 1000
"""Number of events that are written together when a stage's events are repeated."""

_NEEDS: Mapping[str, tuple[str, ...]] = {"metrics": ("stage", "step", "metrics")}
"""The fields that an event of each type must have to be readable."""


class EventLog:
    """Appends events to one or more files, a whole line at a time.

    Args:
        paths: The files. Without files, events are dropped, as on ranks other than 0.
    """

    def __init__(self, *paths: Path) -> None:
        self._paths = paths
        self._lock = threading.Lock()

    def append(self, type_: str, **fields: Any) -> None:
        """Writes one event and flushes it. Known secrets are hidden in `SAID`.

        Raises:
            ValueError: When the event could not be read: a field is not JSON or does not have its
                type in `EventLine`, a number is not finite, or a curve lacks its step.
        """
        self._write([_checked(type_, fields)])

    def repeat(self, events: Iterable[Event], stage: str) -> None:
        """Writes events of a stage from the store with their times, a thousand at a time.

        Args:
            events: The events.
            stage: The id that the stage has in this run.

        Raises:
            ValueError: See `append`.
        """
        again = (_checked(event["type"], _repeated(event, stage)) for event in events)
        while some := list(islice(again, EVENTS_AT_ONCE)):
            self._write(some)

    def _write(self, events: Sequence[Event]) -> None:
        with self._lock:
            for path in self._paths:
                append_lines(path, events, escaped=True)


def _repeated(event: Event, stage: str) -> dict[str, Any]:
    fields = {k: v for k, v in event.items() if k not in ("v", "type", "stage")}
    return {"stage": stage, **fields, "cached": True}


def _checked(type_: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Returns an event of now, unless its fields have another time."""
    begun = {"v": EVENTS.version, "time": time.time(), "type": type_}
    event = {**begun, **_without_secrets(fields)}
    lacking = _lacking(event)
    if fault := f"{lacking} is missing" if lacking else EVENTS.fault(event):
        raise ValueError(f"an event {type_!r}, where {fault}; see halo_core.events")
    return event


def stages_ended(path: Path) -> set[str]:
    """Returns the ids of the stages whose end is among the events of a run.

    Only lines about the end of a stage are read, because a long training has many others.

    Raises:
        DataError: When such a line is not an event. The error names file and line.
        VersionError: When a newer halo wrote it.
    """
    ended = set()
    if path.exists():
        offset = 0
        with path.open("rb") as file:
            for line in file:
                if b'"stage-ended"' in line and line.endswith(b"\n"):
                    event = _event(line, path, offset)
                    if event["type"] == "stage-ended":
                        ended.add(event["stage"])
                offset += len(line)
    return ended


def read_events(path: Path, *, offset: int = 0) -> Iterator[tuple[Event, int]]:
    """Yields each whole event from a byte offset on, with the offset after it.

    An incomplete last line is left for the next call.

    Raises:
        DataError: When a line is not an event. The error names file and line.
        VersionError: When a newer halo wrote it.
    """
    if not path.exists():
        return
    with path.open("rb") as file:
        file.seek(offset)
        for line in file:
            if not line.endswith(b"\n"):
                return
            event = _event(line, path, offset)
            offset += len(line)
            yield event, offset


def last_events(path: Path) -> Iterator[Event]:
    """Yields the last events of a file, newest first, from its last `TAIL_BYTES` bytes.

    It ends at the first line that cannot be read. An incomplete last line is skipped.
    """
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - TAIL_BYTES))
        lines = file.read().split(b"\n")
    for line in reversed(lines[:-1]):
        try:
            yield EVENTS.parse(line, str(path))
        except DataError:
            return


def _event(line: bytes, path: Path, offset: int) -> Event:
    try:
        event = EVENTS.parse(line, str(path))
        if lacking := _lacking(event):
            came = beginning_of(line.decode("utf-8").strip())
            raise DataError(
                f"got {came!r} without {lacking}; expected an event {event['type']!r} with "
                f"{', '.join(_NEEDS[event['type']])}. {EVENTS.mend}"
            )
        return event
    except DataError as error:
        with path.open("rb") as file:
            number = file.read(offset).count(b"\n") + 1
        raise type(error)(error.message, location=f"{path}:{number}") from None


def _without_secrets(fields: Mapping[str, Any]) -> dict[str, Any]:
    said = {name: hide_known_in(fields[name]) for name in SAID if name in fields}
    return {**fields, **said}


def _lacking(event: Event) -> str:
    """Returns the names of the fields that an event lacks for its type, or ""."""
    return ", ".join(name for name in _NEEDS.get(event["type"], ()) if name not in event)
