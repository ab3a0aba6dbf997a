"""Sends what a process does to the process that started it, which shows it.

A worker of a stage and a cell of a suite write their view to a file that their starter named in the
environment, at most twice a second. The starter reads the file whenever it draws.
"""

from __future__ import annotations

import json
import os
import select
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO

from halo_core.display.view import View, view_from

_LOOK_S = 0.1
"""Seconds between two looks at whether a process has ended that prints nothing."""
_PIPE_BYTES = 1 << 20
"""Largest number of bytes that a pipe may hold (`pipe(7)`)."""

RELAY = "HALO_DISPLAY"
"""Environment variable with the file to which a process writes what it does."""


class RelaySurface:
    """Writes the board of this process to a file.

    Args:
        path: The file, in a folder that exists.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._written = ""

    def open(self) -> None:
        """Does nothing."""

    def show(self, views: list[View]) -> None:
        """Writes the view, if it changed."""
        text = json.dumps([view.as_json() for view in views])
        if text == self._written:
            return
        self._written = text
        beside = self._path.with_suffix(f".{os.getpid()}")
        try:
            beside.write_text(text)
            beside.replace(self._path)
        except OSError:
            return  # Nobody sees the progress then. The work continues.

    def stage_began(self, view: View) -> None:
        """Does nothing: the next look writes it."""

    def work_ended(self, view: View) -> None:
        """Writes the last facts."""
        self.show([view])

    def stage_failed(self, view: View) -> None:
        """Does nothing: the process that shows it prints the last facts."""

    def close(self) -> None:
        """Does nothing."""


def relay_of(environment: Mapping[str, str] = os.environ) -> RelaySurface | None:
    """Returns the surface that the starter of this process shows; None if it shows none."""
    path = environment.get(RELAY)
    return RelaySurface(Path(path)) if path else None


@contextmanager
def relayed() -> Iterator[tuple[dict[str, str], Callable[[], View | None]]]:
    """Yields environment variables for a process, and a function that returns its view.

    The function returns the last view, or None before there is one. It never fails, since the
    process may be killed at any moment.
    """
    with TemporaryDirectory(prefix="halo-display-", ignore_cleanup_errors=True) as folder:
        path = Path(folder) / "view.json"
        last: list[View] = []

        def view() -> View | None:
            try:
                last[:] = [view_from(json.loads(path.read_bytes())[0])]
            except (OSError, ValueError, KeyError, TypeError, IndexError):
                pass
            return last[0] if last else None

        yield {RELAY: str(path)}, view


def print_lines(output: IO[bytes], say: Callable[[str], None]) -> Printing:
    """Prints the lines of a process in a thread, and returns the thread.

    A bar that a library draws with carriage returns is printed once, as it is at the end.

    Args:
        output: A pipe with the output of the process, from which nothing was read.
        say: Prints a line.
    """
    printing = Printing(output, say)
    printing.start()
    return printing


class Printing(threading.Thread):
    """The thread that prints the lines of a process; see `print_lines`."""

    def __init__(self, output: IO[bytes], say: Callable[[str], None]) -> None:
        super().__init__(name="output", daemon=True)
        self._output, self._say = output, say
        self._ended = threading.Event()

    def finish(self) -> None:
        """Returns when all is printed that the process wrote. Call it after the process's end.

        Children of the process may hold its output open, and are not waited for.
        """
        self._ended.set()
        self.join()

    def run(self) -> None:
        """Prints each line as soon as it is whole."""
        rest = b""
        with self._output:
            for piece in self._pieces():
                *lines, rest = (rest + piece).split(b"\n")
                for line in lines:
                    self._print(line)
                rest = rest[rest.rstrip(b"\r").rfind(b"\r") + 1 :]  # Only the end of a bar counts.
        self._print(rest)

    def _pieces(self) -> Iterator[bytes]:
        """Yields what comes, up to the end of the output or what is there at `finish`."""
        looking = select.poll()
        looking.register(self._output, select.POLLIN)
        left = _PIPE_BYTES
        while left > 0:
            # Asked before it looks, so that it sees all that an ended process wrote.
            ended = self._ended.is_set()
            if not looking.poll(0 if ended else 1000 * _LOOK_S):
                if ended:
                    return
                continue
            piece = os.read(self._output.fileno(), 65_536)
            if not piece:
                return
            left -= len(piece) if ended else 0
            yield piece

    def _print(self, line: bytes) -> None:
        text = line.decode("utf-8", "replace").rstrip("\r\n").rpartition("\r")[2]
        if text.strip():
            self._say(text.rstrip())
