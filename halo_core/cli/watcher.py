"""Watches the process of a command, which may end without an error message.

Code that calls `os._exit`, a crash of a library, and the system's out-of-memory killer end a
process at once. It cannot report that itself, and its exit code may even be 0. So on Linux, `halo`
is two processes. The one that was started stays as small as Python is, and waits. The other one
does the work. It notes in shared memory what it is doing and how it ended (`halo_core.watched`). If
it ends without such a note, the first one says so.

Both are in one process group, so the terminal treats them as one process. The first one passes
SIGINT and SIGTERM on, but only if the other one did not get them too: a Ctrl-C counts once. If the
first one is killed, the system kills the other one.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import time
from collections.abc import Sequence
from typing import NoReturn

from halo_core import watched
from halo_core.parent_death import die_with

PASSED_ON = (signal.SIGINT, signal.SIGTERM)
ENDING = (signal.SIGHUP, *PASSED_ON)
"""Signals with which people end a process. They need no message."""
CRASHES = (
    signal.SIGABRT,
    signal.SIGBUS,
    signal.SIGFPE,
    signal.SIGILL,
    signal.SIGSEGV,
    signal.SIGSYS,
    signal.SIGTRAP,
)
"""Signals with which the system ends a process that made a mistake."""
PATIENCE_S = 0.3
"""Seconds within which a signal reaches both processes, if it was sent to both."""

_PF_EXITING = 0x4
_PF_FORKNOEXEC = 0x40
"""Flags in Linux's `proc(5)`: a process that is ending, and one that never started a program."""


def watch(arguments: Sequence[str]) -> None:
    """Forks, and returns in the process that does the work. The other one waits for it and exits.

    Where there is no second process, it returns too: on other systems, and if the system refuses
    one. Then the next command reports an end without a message (`halo_core.run.silent_end`).

    Args:
        arguments: The arguments of `halo`.
    """
    if sys.platform != "linux":
        return
    watched.share()
    reading, writing = _pipe()
    me = os.getpid()
    # Until each process has its own handlers, signals wait.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, (*PASSED_ON, signal.SIGCHLD))
    try:
        child = os.fork()
    except OSError:
        child = 0
    else:
        if child:
            os.close(writing)
            _exit_like(_Child(child, reading, mask), arguments)
        watched.begin()
        die_with(me)
        # Python writes the number of each signal there as soon as it arrives.
        signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    os.close(reading)
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _pipe() -> tuple[int, int]:
    ends = os.pipe()
    for end in ends:
        os.set_blocking(end, False)
    return ends


class _Child:
    """The process that does the work, as its watcher sees it.

    Args:
        process: Its id.
        reports: The pipe into which it writes the signals that it gets.
        mask: The signals that were blocked before.
    """

    def __init__(self, process: int, reports: int, mask: set[int | signal.Signals]) -> None:
        self.process = process
        self._reports = reports
        self._own, writing = _pipe()
        self._sources = [self._own, reports]
        self._here: list[tuple[int, float]] = []
        self._there: list[tuple[int, float]] = []
        signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
        for number in (*PASSED_ON, signal.SIGCHLD):
            # Where Ctrl-C is ignored, as in the background of a script, it stays so.
            if number == signal.SIGCHLD or signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, lambda *_: None)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)

    def wait(self) -> None:
        """Waits until the process has ended, and passes signals on. The process stays a zombie."""
        while os.waitid(os.P_PID, self.process, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            oldest = min((at for _, at in self._here), default=None)
            left = None if oldest is None else max(0.0, oldest + PATIENCE_S - time.monotonic())
            for source in select.select(self._sources, [], [], left)[0]:
                self._read(source)
            self._pass_on()

    def _read(self, source: int) -> None:
        numbers = os.read(source, 1024)
        if not numbers:  # It has closed all its files, or is another program by now.
            self._sources.remove(source)
        into = self._here if source == self._own else self._there
        into += [(number, time.monotonic()) for number in numbers if number in PASSED_ON]

    def _pass_on(self) -> None:
        """Passes on each signal that only this process got."""
        now = time.monotonic()
        self._there = [(number, at) for number, at in self._there if now - at <= PATIENCE_S]
        waiting = []
        for number, at in self._here:
            both = next((seen for seen in self._there if seen[0] == number), None)
            if both is not None:
                self._there.remove(both)
            elif now - at < PATIENCE_S:
                waiting.append((number, at))
            elif not (number == signal.SIGINT and self._is_mute() and _has_terminal()):
                os.kill(self.process, number)
        self._here = waiting

    def _is_mute(self) -> bool:
        """Returns whether it no longer reports its signals, as when `halo serve` replaces itself.

        If there is a terminal, a SIGINT then counts as its Ctrl-C, which both get.
        """
        return self._reports not in self._sources


def _has_terminal() -> bool:
    """Returns whether a terminal would send Ctrl-C to this process and its group."""
    try:
        with open("/dev/tty", "rb") as terminal:
            return os.tcgetpgrp(terminal.fileno()) == os.getpgrp()
    except OSError:
        return False


def _is_replaced(process: int) -> bool:
    """Returns whether a zombie ran another program, which notes nothing, in its last moments."""
    try:
        with open(f"/proc/{process}/stat", encoding="utf-8", errors="replace") as file:
            flags = int(file.read().rpartition(")")[2].split()[6])
    except OSError:
        return False
    return bool(flags & _PF_EXITING) and not flags & _PF_FORKNOEXEC


def _exit_like(child: _Child, arguments: Sequence[str]) -> NoReturn:
    """Waits for the process that does the work, and ends as it did, but never silently."""
    child.wait()
    replaced = _is_replaced(child.process)
    code = os.waitstatus_to_exitcode(os.waitpid(child.process, 0)[1])
    if -code in ENDING:
        signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    noted = code if replaced and code >= 0 else watched.noted_code()
    if noted is None or (noted == 0 and code < 0):
        os._exit(_told(arguments, code, noted))
    # Python itself ends with another code than the command if it cannot write its last output.
    os._exit(noted or code)


def _told(arguments: Sequence[str], code: int, noted: int | None) -> int:
    """Says how the process ended, and returns the exit code."""
    from halo_core.cli.output import Output, finish
    from halo_core.errors import WorkerError
    from halo_core.printing import say

    what, where = watched.noted()
    if noted is None:
        during = f" while {what}" if what else ""
        message = (
            f"the process ended without an error message{during}: {_how(code)}. Saved "
            "results are kept; run the same command again to continue"
        )
    else:
        message = f"the command was done, but its process did not end well: {_how(code)}"

    def end() -> None:
        raise WorkerError(message, location=where or f"halo {arguments[0]}")

    if sys.stderr.isatty():
        say(err=True)  # The display on a terminal has no line end.
    return finish(Output(json="--json" in arguments), end)


def _how(code: int) -> str:
    if code >= 0:
        return (
            f"code of a plugin or of a library ended it with exit code {code}, as os._exit({code}) "
            "does"
        )
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = "no name"
    if -code == signal.SIGKILL:
        return f"signal {-code} ({name}); it was killed, possibly because memory ran out"
    if -code not in CRASHES:
        return f"signal {-code} ({name}), which ended it"
    return (
        f"signal {-code} ({name}); a library crashed. With PYTHONFAULTHANDLER=1 in the "
        "environment, Python shows where"
    )
