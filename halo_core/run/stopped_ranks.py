"""Names a process of a stage that does not continue: a signal stopped it, or it waits for a disk.

The other ranks wait for it without end, and cannot know it. Linux shows the state of each process.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

LOOK_S = 5.0
"""Seconds between two looks at the processes."""
AFTER_S = 60.0
"""Seconds in the same state after which a process is named."""

_WHY = {
    "T": "a signal such as SIGSTOP has stopped it; kill -CONT {process} lets it continue",
    "t": "a debugger has stopped it",
    "D": "it waits for a disk or a network file system, and cannot be ended",
}
"""States of `proc_pid_stat(5)` in which a process does no work, whatever its code is."""


class StoppedRanks:
    """Tells once about each process of a stage that stands still for a minute.

    Args:
        launcher: The id of the program that starts the ranks.
        tell: Shows a warning.
        after_s: Seconds in the same state and without work after which a process is named.
    """

    def __init__(
        self, launcher: int, tell: Callable[[str], None], *, after_s: float = AFTER_S
    ) -> None:
        self._launcher, self._tell, self._after_s = launcher, tell, after_s
        self._since: dict[int, tuple[tuple[str, int], float]] = {}
        self._told: set[int] = set()
        self._next = 0.0

    def look(self) -> None:
        """Looks at the processes, at most every `LOOK_S`. It never fails."""
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + min(LOOK_S, self._after_s / 2)
        found = {each: _state(each) for each in _below(self._launcher)}
        states = {each: state for each, state in found.items() if state[0] in _WHY}
        self._told &= {*states}
        self._since = {
            each: (state, self._since[each][1] if self._since.get(each, ("",))[0] == state else now)
            for each, state in states.items()
        }
        for each, ((state, _), since) in self._since.items():
            if now - since >= self._after_s and each not in self._told:
                self._told.add(each)
                self._tell(_sentence(each, state, now - since))


def _sentence(process: int, state: str, seconds: float) -> str:
    why = _WHY[state].format(process=process)
    return (
        f"the stage waits for {_name(process)}, which has not worked for {seconds:.0f} s: its "
        f"state is {state}, so {why}"
    )


def _name(process: int) -> str:
    """Returns the name of a process for people, with its rank if a launcher gave it one."""
    given: dict[str, str] = {}
    with suppress(OSError):
        content = Path(f"/proc/{process}/environ").read_bytes().decode("utf-8", "replace")
        given = dict(line.split("=", 1) for line in content.split("\0") if "=" in line)
    where = f"process {process} on {socket.gethostname()}"
    if "RANK" not in given:
        return where
    return f"rank {given['RANK']} of {given.get('WORLD_SIZE', '?')} ({where})"


def _below(process: int) -> Iterator[int]:
    """Yields a process and all that it started, directly or not; only itself without Linux."""
    yield process
    with suppress(OSError):  # It has ended, or this is another system.
        for task in os.listdir(f"/proc/{process}/task"):
            children = ""
            with suppress(OSError):  # Only this thread has ended. The others may have children.
                children = Path(f"/proc/{process}/task/{task}/children").read_text()
            for child in children.split():
                yield from _below(int(child))


def _state(process: int) -> tuple[str, int]:
    """Returns the state of a process, a letter, and the ticks of CPU time that it has used.

    The letter is "" if the process has ended, or if that is not known.
    """
    with suppress(OSError, IndexError, ValueError):
        stat = Path(f"/proc/{process}/stat").read_text(errors="replace")
        fields = stat.rpartition(")")[2].split()
        return fields[0], int(fields[11]) + int(fields[12])
    return "", 0


__all__ = ["AFTER_S", "StoppedRanks"]
