"""Keeps what plugins print out of the output of a command, which may be JSON in a file."""

from __future__ import annotations

import os
import select
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

_lock = threading.Lock()
_depth = 0
_before: tuple[TextIO, int | None] = (sys.stdout, None)
"""The stream and a copy of the descriptor that come back at the end."""


@contextmanager
def stdout_to_stderr() -> Iterator[None]:
    """Sends stdout to stderr during a `with` statement, also that of child processes.

    Statements may be nested, and several threads may be in one: stdout comes back at the end of
    the last one.
    """
    _begin()
    try:
        yield
    finally:
        _end()


def end_stdout() -> None:
    """Sends to stderr what is printed from now on, such as by a plugin when the process ends."""
    _begin()


def open_closed_streams() -> None:
    """Opens the null device as each standard stream that this process was started without.

    Otherwise the next file that is opened would get its number, and what a library prints would be
    written into that file.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)  # It gets the lowest number that is free.
            os.set_inheritable(opened, True)  # Programs that halo starts need it as well.
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            stream = open(number, "w" if number else "r", encoding="utf-8")
            setattr(sys, name, stream)
            setattr(sys, f"__{name}__", stream)


def reader_is_gone() -> bool:
    """Returns whether nobody still reads the standard output or error of this process.

    So an error of these pipes is known from that of another pipe, which code of others uses.
    """
    poll = select.poll()
    for number in (1, 2):
        poll.register(number, 0)  # A closed pipe is reported without being asked for.
    return any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))


def _begin() -> None:
    global _depth, _before
    with _lock:
        _depth += 1
        if _depth > 1:
            return
        kept = None
        # Child processes write to the descriptor, whatever `sys.stdout` is. In a notebook, or in a
        # test that captures the output, there is no descriptor and nothing to redirect.
        if _is_descriptor(sys.__stdout__, 1) and _is_descriptor(sys.__stderr__, 2):
            _flush()
            kept = os.dup(1)
            os.dup2(2, 1)
        _before = sys.stdout, kept
        sys.stdout = sys.stderr


def _end() -> None:
    global _depth
    with _lock:
        _depth -= 1
        if _depth:
            return
        stream, kept = _before
        sys.stdout = stream
        if kept is not None:
            _flush()
            os.dup2(kept, 1)
            os.close(kept)


def _flush() -> None:
    """Writes what Python holds back to where it belongs, before the descriptor changes."""
    try:
        if sys.__stdout__ is not None:
            sys.__stdout__.flush()
    except (OSError, ValueError):
        pass  # The reader is gone. The next write of halo itself reports this.


def _is_descriptor(stream: Any, number: int) -> bool:
    try:
        return stream is not None and stream.fileno() == number
    except (OSError, ValueError):
        return False
