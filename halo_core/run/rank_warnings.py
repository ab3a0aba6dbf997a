"""Shows the warnings of all processes of a stage: equal ones once, others with their ranks.

Rank 0 shows its own at once. Each other rank writes its own to a hidden folder of the stage. A
thread of rank 0 reads them there, so no process waits for another one, and nobody has to reach the
same place. The controller shows those that rank 0 could not show because it was ended.
"""

from __future__ import annotations

import re
import shutil
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from halo_core import printing
from halo_core.errors import HaloError
from halo_core.events import EventLog, read_events
from halo_core.workspace.records import EVENTS

FOLDER = ".ranks"
LOOK_S = 1.0
"""Seconds between two looks for warnings of other ranks."""
GRACE_S = 3.0
"""Seconds until a warning of another rank is shown. Rank 0 often has the same one soon."""

Warn = Callable[[str], None]


def file_of(folder: Path, rank: int) -> Path:
    """Returns the file with the warnings of a rank other than 0."""
    return folder / FOLDER / str(rank) / EVENTS.name


@contextmanager
def warnings_of_all(folder: Path, rank: int, processes: int, show: Warn) -> Iterator[Warn]:
    """Yields the function that takes this process's warnings, while its stage runs.

    Args:
        folder: The stage's folder.
        rank: Rank of this process.
        processes: Number of processes.
        show: Shows and records a warning. It is called on rank 0 only.
    """
    if rank:
        yield _writer(folder, rank)
        return
    if processes == 1:
        yield show
        return
    gathered = Gathered(folder, processes, _printing_at_least(show))
    ended = threading.Event()

    def look() -> None:
        while not ended.wait(LOOK_S):
            gathered.look()

    thread = threading.Thread(target=look, name="halo-warnings", daemon=True)
    thread.start()
    try:
        yield gathered.own
    finally:
        ended.set()
        thread.join()
        gathered.look(last=True)
        shutil.rmtree(folder / FOLDER, ignore_errors=True)


def _printing_at_least(show: Warn) -> Warn:
    """Returns a function that prints a warning which cannot be recorded."""

    def warn(message: str) -> None:
        try:
            show(message)
        except (HaloError, OSError):  # A full disk must neither hide it nor end the thread.
            printing.warn(message)

    return warn


def _writer(folder: Path, rank: int) -> Warn:
    file = file_of(folder, rank)
    shutil.rmtree(file.parent, ignore_errors=True)  # of an earlier attempt
    log, told = EventLog(file), set[str]()

    def warn(message: str) -> None:
        if message in told:
            return
        told.add(message)
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            log.append("warning", message=message)
        except (HaloError, OSError):  # A full disk must not hide the warning, nor end the stage.
            printing.warn(f"rank {rank}: {message}")

    return warn


@dataclass
class Gathered:
    """The warnings that rank 0 knows.

    Attributes:
        folder: The stage's folder.
        processes: Number of processes.
        show: Shows and records a warning.
    """

    folder: Path
    processes: int
    show: Warn
    _own: set[str] = field(default_factory=set)
    _waiting: dict[str, tuple[float, list[int]]] = field(default_factory=dict)
    _offsets: dict[int, int] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def own(self, message: str) -> None:
        """Shows a warning of rank 0."""
        with self._lock:
            self._own.add(message)
            self._waiting.pop(message, None)
        self.show(message)

    def look(self, *, last: bool = False) -> None:
        """Reads the warnings of other ranks, and shows those that have waited.

        Args:
            last: Whether to show all, because the stage ends.
        """
        ready = {}
        with self._lock:
            for rank in range(1, self.processes):
                self._read(rank)
            until = time.monotonic() - GRACE_S
            for message, (since, ranks) in list(self._waiting.items()):
                if last or since <= until:
                    ready[message] = ranks
                    del self._waiting[message]
        for message, ranks in ready.items():
            self.show(with_ranks(message, ranks))

    def _read(self, rank: int) -> None:
        try:
            file = file_of(self.folder, rank)
            for event, offset in read_events(file, offset=self._offsets.get(rank, 0)):
                self._offsets[rank] = offset
                message = event["message"]
                if message not in self._own:
                    self._waiting.setdefault(message, (time.monotonic(), []))[1].append(rank)
        except (HaloError, OSError):
            return  # The next look reads it again.


def with_ranks(message: str, ranks: list[int]) -> str:
    """Returns a warning with the ranks that have it.

    >>> with_ranks("little memory", [1, 3])
    'ranks 1, 3: little memory'
    """
    return f"rank{'s' * (len(ranks) > 1)} {', '.join(map(str, ranks))}: {message}"


def forget_warnings(folder: Path) -> None:
    """Removes the warnings of an earlier attempt. Call it before the processes start."""
    shutil.rmtree(folder / FOLDER, ignore_errors=True)


def warnings_left(folder: Path) -> list[str]:
    """Returns the warnings that rank 0 did not show, and removes them.

    Args:
        folder: The stage's folder, whose processes have ended.
    """
    ranks: dict[str, list[int]] = {}
    for place in sorted((folder / FOLDER).glob("*"), key=lambda p: (len(p.name), p.name)):
        for message in _messages(place / EVENTS.name):
            ranks.setdefault(message, []).append(int(place.name))
    forget_warnings(folder)
    if not ranks:
        return []
    shown = set(_messages(folder / EVENTS.name))
    left = {
        message: [rank for rank in having if rank not in _named(message, shown)]
        for message, having in ranks.items()
        if message not in shown
    }
    return [with_ranks(message, having) for message, having in left.items() if having]


def _named(message: str, shown: Iterable[str]) -> set[int]:
    """Returns the ranks with which a warning was shown."""
    pattern = re.compile(rf"ranks? ([\d, ]+): {re.escape(message)}", re.DOTALL)
    found = (pattern.fullmatch(text) for text in shown)
    return {int(rank) for match in found if match for rank in match.group(1).split(",")}


def _messages(file: Path) -> Iterator[str]:
    try:
        found: Iterator[tuple[Mapping[str, str], int]] = read_events(file)
        yield from (event["message"] for event, _ in found if event["type"] == "warning")
    except (HaloError, OSError):
        return
