"""Notes of the current work of this process, in memory that its watcher shares.

A killed process can no longer report anything. Its watcher reads its notes here (see
`halo_core.cli.watcher`). In a process without a watcher, notes do nothing.
"""

from __future__ import annotations

import mmap
import os
import signal
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_SIZE = 4096
_HEAD = 4
"""Bytes before the text: the state of the command, its exit code, and the length of the text."""
_ENDED, _REPLACED = 1, 2
"""States of a command. Before, it is 0."""

REPORTS = "HALO_SIGNAL_REPORTS"
"""Environment variable with the number of the pipe for a program that replaces this process."""

_page: mmap.mmap | None = None
_reports = -1
_process = 0
_doing = ("", "")
_calls: list[list[str]] = []


def share() -> None:
    """Gets the memory. The process that is forked next shares it."""
    global _page
    _page = mmap.mmap(-1, _SIZE)


def begin() -> None:
    """Declares that this process is the one that notes. Those that it forks note nothing."""
    global _process
    _process = os.getpid()
    _write()


def note(what: str, where: str = "") -> None:
    """Notes what this process is doing, in place of the note before.

    Args:
        what: A phrase that follows ``while``, such as ``stage 1 of 3, learn, was running``.
        where: The place for a message, such as ``stages.learn``.
    """
    global _doing
    _doing = what, where
    _write()


@contextmanager
def within(call: str) -> Iterator[None]:
    """Notes that code of others is called during a `with` statement.

    Args:
        call: A phrase that follows ``in``, such as ``the import of a_plugin``.
    """
    mine = [call]  # An object of its own, because several threads may make the same call.
    _calls.append(mine)
    _write()
    try:
        yield
    finally:
        _calls[:] = [other for other in _calls if other is not mine]
        _write()


def _write() -> None:
    page = _own_page()
    if page is None:
        return
    what, where = _doing
    calls = _calls[-1:]  # at once, because another thread may remove it
    if calls:
        what = f"{what}, in {calls[0][0]}" if what else f"it was in {calls[0][0]}"
    text = f"{where}\n{what}".encode("utf-8", "replace")[: _SIZE - _HEAD]
    page[2:_HEAD] = len(text).to_bytes(2, "little")
    page[_HEAD : _HEAD + len(text)] = text


def ended(code: int) -> None:
    """Notes that the command ended by itself, with an exit code from 0 to 255."""
    page = _own_page()
    if page is not None:
        page[1], page[0] = code & 0xFF, _ENDED


def report_signals(pipe: int) -> None:
    """Lets Python write the number of each signal into a pipe as soon as it arrives.

    Args:
        pipe: The end that is written to. The watcher reads the other one.
    """
    global _reports
    _reports = pipe
    signal.set_wakeup_fd(pipe, warn_on_full_buffer=False)


def will_be_replaced() -> None:
    """Notes that another program takes the place of this process, on purpose (`os.execv`).

    The program gets the pipe for reports of signals. A program of halo calls `continue_reports`.
    """
    page = _own_page()
    if page is not None:
        page[0] = _REPLACED
        os.set_inheritable(_reports, True)
        os.environ[REPORTS] = str(_reports)


def continue_reports() -> None:
    """Reports the signals of this process in place of the process that it replaced.

    Without it, the watcher passes on each signal that it gets, because it cannot know that this
    process got it too. In a process that replaced no other one, this does nothing.
    """
    given = os.environ.pop(REPORTS, "")
    with suppress(ValueError, OSError):
        pipe = int(given)
        if stat.S_ISFIFO(os.fstat(pipe).st_mode):
            os.set_inheritable(pipe, False)
            report_signals(pipe)


def noted() -> tuple[str, str]:
    """Returns what the watched process was doing, and the place; two empty texts if unknown."""
    if _page is None:
        return "", ""
    length = int.from_bytes(_page[2:_HEAD], "little")
    where, _, what = _page[_HEAD : _HEAD + length].decode("utf-8", "replace").partition("\n")
    return what, where


def noted_code() -> int | None:
    """Returns the exit code with which the command ended by itself; None if it did not."""
    return _page[1] if _page is not None and _page[0] == _ENDED else None


def noted_replacement() -> bool:
    """Returns whether the command noted that another program takes its place."""
    return _page is not None and _page[0] == _REPLACED


def _own_page() -> mmap.mmap | None:
    return _page if _process == os.getpid() else None
