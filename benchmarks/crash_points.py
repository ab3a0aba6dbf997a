"""Sees every change of a file in a folder by this process, and kills the process before one.

Python tells audit hooks which files it opens, renames and removes. Files that a library writes by
itself, such as safetensors or SQLite, are not seen, but halo renames most of them afterwards. A
kill does not undo what the system has not yet written to the disk, so `fsync` is not a change. Halo
itself knows nothing of this.
"""

from __future__ import annotations

import os
import re
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_CHANGES = {"os.rename": 1, "os.remove": 0, "os.mkdir": 0, "os.rmdir": 0, "os.truncate": 0}
"""The events of Python that change files, with the places of the paths that they change."""
_DIGITS = re.compile(r"[0-9a-f]{8,}|\d+")


@dataclass
class Changes:
    """Counts changes of files in a folder.

    Attributes:
        folder: The folder.
        log: File that gets a line for each change, or None.
        kill_at: The number, from 1, of the change before which the process is killed; 0 for none.
    """

    folder: str
    log: Path | None = None
    kill_at: int = 0
    count: int = 0
    busy: bool = False

    def watch(self) -> None:
        """Watches this process from now on."""
        sys.addaudithook(self._heard)

    def _heard(self, event: str, arguments: tuple[object, ...]) -> None:
        if event == "open":
            path, _, flags = arguments
            if isinstance(flags, int) and flags & _WRITES:
                self._changed("open", path)
        elif event in _CHANGES:
            path = arguments[_CHANGES[event]]
            if isinstance(path, int):
                path = os.readlink(f"/proc/self/fd/{path}")
            self._changed(event.removeprefix("os."), path)

    def _changed(self, what: str, path: object) -> None:
        if self.busy or not isinstance(path, str | bytes | os.PathLike):
            return
        name = os.path.abspath(os.fsdecode(os.fspath(path)))
        # Locks have no content: a kill before one is a kill before the next change.
        if not name.startswith(f"{self.folder}/") or name.endswith(".lock"):
            return
        is_there = os.path.lexists(name)
        if (what == "mkdir" and is_there) or (what in ("remove", "rmdir") and not is_there):
            return
        self.count += 1
        if self.log is not None:
            self._write(f"{what} {kind_of(name.removeprefix(self.folder))}\n")
        if self.count == self.kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    def _write(self, line: str) -> None:
        assert self.log is not None
        self.busy = True
        with self.log.open("a") as file:
            file.write(line)
        self.busy = False


def kind_of(name: str) -> str:
    """Returns a path without what differs from run to run.

    >>> kind_of("/stages/train-1df11abc3f7fd827/.done.json.4711")
    'stages/train-#/.done.json.#'
    """
    return _DIGITS.sub("#", name.lstrip("/"))


def killed_at(folder: Path, number: int) -> Callable[[], None]:
    """Returns a function that has its process killed before its n-th change in a folder."""
    return Changes(str(folder), kill_at=number).watch


def logged(folder: Path, log: Path) -> Callable[[], None]:
    """Returns a function that writes the changes of its process in a folder to a file."""
    return Changes(str(folder), log=log).watch
