"""Reads the bytes of a spec, and says what it waits for if they come through a pipe."""

from __future__ import annotations

import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from halo_core.printing import say

PATIENCE_S = 1.0
"""Seconds after which a line says what is awaited."""


def spec_bytes(path: Path, most: int) -> bytes:
    """Returns the beginning of a file, or of what comes through a pipe or from a terminal.

    A pipe can be opened when another program opens it too, and ends when that program closes it. A
    terminal ends with Ctrl-D. If this takes a second, a line on stderr says so.

    Args:
        path: The file.
        most: Largest number of bytes to read.

    Raises:
        OSError: When it cannot be opened or read.
    """
    with _told_when_waiting(path), path.open("rb") as file:
        return file.read(most)


@contextmanager
def _told_when_waiting(path: Path) -> Iterator[None]:
    mode = path.stat().st_mode
    if stat.S_ISFIFO(mode):
        line = f"reading the spec from the pipe {path}; waiting for a program to write and close it"
    elif stat.S_ISCHR(mode):
        line = f"reading the spec from {path}; on a terminal, Ctrl-D ends it"
    else:
        yield
        return
    timer = threading.Timer(PATIENCE_S, say, [line], {"err": True})
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


__all__ = ["PATIENCE_S", "spec_bytes"]
