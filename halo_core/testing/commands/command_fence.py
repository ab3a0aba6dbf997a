"""Keeps a called command from what may matter to others: connections, processes, their files."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from halo_core.testing.commands.command_openers import note_browsers, opener_in
from halo_core.testing.processes.effects import (
    CHANGES,
    CONNECTIONS,
    PROCESSES,
    Effects,
    caches,
    importing,
)

FORBIDDEN = ("writes or removes", "starts the process", "connects to")
"""Beginnings of the effects that a fence does not let through."""

MORE_CHANGES = ("shutil.rmtree", "os.truncate", "os.chmod")
"""Further audit events that change the path which is their first argument."""

HARMFUL = {"socket.getaddrinfo": "looks up a host", "os.kill": "sends a signal to a process"}
"""Further audit events that a fence does not let through."""


NOTED = {"open", "tempfile.mkstemp", "tempfile.mkdtemp", *CHANGES, *PROCESSES, *CONNECTIONS}
"""Audit events that `Effects` understands, without those about settings of this process."""


class FenceError(PermissionError):
    """The kit does not let a command do this."""


class Fence(Effects):
    """A record of what a command does to others, which it does not let happen.

    A hook of Python cannot be removed, so only a process that ends after the call uses it.

    Args:
        inside: The folder in which the command may write.
        closed: Whether it keeps the command from anything. Otherwise it only notes a server.
        note: The file in which it notes what it met, for a process that is ended from outside.

    Attributes:
        met: A part of a sentence about the first thing that it did not let happen.
        shown: The programs that would have shown something to a person.
    """

    def __init__(self, inside: Path, closed: bool, note: Path) -> None:
        super().__init__([inside, *caches()], starts=False, imports=True)
        self._closed = closed
        self._note = note
        self._on = False
        self.met = ""
        self.shown: list[str] = []

    def __enter__(self) -> Fence:
        note_browsers(self.shown)
        sys.addaudithook(self._hear)
        self._on = True
        return self

    def __exit__(self, *_: object) -> None:
        self._on = False

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self._on:
            return
        self._on = False  # It does not hear its own work.
        try:
            found = self._found(event, arguments)
            if found:
                self.met = self.met or found
                self._note.write_text(self.met, "utf-8")
        finally:
            self._on = True
        if opener := opener_in(event, arguments):
            self.shown.append(opener)
            self.met = self.met or f"opens {opener}"
            raise FenceError(f"the check does not let a command open {opener}")
        if found and self._closed:
            raise FenceError(f"the check does not let a command do this: it {found}")

    def _found(self, event: str, arguments: tuple[Any, ...]) -> str:
        """Returns what an event does to others, as a part of a sentence; "" if nothing."""
        if event == "socket.bind":
            return "waits for connections"
        if not self._closed:
            return ""
        if event in HARMFUL:
            return HARMFUL[event]
        if event in PROCESSES and importing():
            return ""  # Libraries ask the system what it is.
        self.done = {}
        if event in MORE_CHANGES:
            self.take("os.remove", (arguments[0], -1))
        elif event in NOTED:
            self.take(event, arguments)
        new = [each for each in self.done if each.startswith(FORBIDDEN)]
        return new[0].replace(os.path.expanduser("~"), "~") if new else ""


__all__ = ["Fence", "FenceError"]
