"""Watches the process of a command, which may end without an error message.

Code that calls `os._exit`, a crash of a library, and the system's out-of-memory killer end a
process at once. It cannot report that itself, and its exit code may even be 0. So on Linux, `halo`
is two processes. The one that was started stays as small as Python is, and waits. The other one
does the work. It notes in shared memory what it is doing and how it ended (`halo_core.watched`). If
it ends without such a note, the first one says so.

Both are in one process group, so the terminal treats them as one process. The first one passes
SIGINT, SIGTERM and SIGHUP on, but only if the other one did not get them too: a Ctrl-C counts once.
Linux says how each signal was sent. The terminal's Ctrl-C comes from the kernel, and reaches the
whole group. A process may have sent a signal to one process or to the group, and the SIGHUP of a
closed terminal may reach only the first process of its session. Then the first one waits a moment
for the report of the other one. If the first one is killed, the system kills the other one.
"""

from __future__ import annotations

import os
import select
import signal
import struct
import sys
import time
from collections.abc import Sequence
from typing import NoReturn

from halo_core import watched
from halo_core.parent_death import die_with

PASSED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
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
"""Seconds within which a signal reaches both processes, if a process sent it to both."""

_SIGNAL = struct.Struct("Iii116x")
"""Linux's `signalfd_siginfo`: the number of a signal, an error number, and how it was sent."""
_SI_KERNEL = 0x80
"""How the kernel itself sends a signal, as for the keys of a terminal (`sigaction(2)`)."""

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
    # Where Ctrl-C is ignored, as in the background of a script, it stays so.
    numbers = [n for n in PASSED_ON if signal.getsignal(n) is not signal.SIG_IGN]
    # The first process reads its signals from a file. In the other one, they wait for its handlers.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, (*numbers, signal.SIGCHLD))
    signals = -1
    try:
        signals = _signal_file((*numbers, signal.SIGCHLD))
        child = os.fork()
    except OSError:
        child = 0
    else:
        if child:
            os.close(writing)
            _exit_like(_Child(child, signals, reading), arguments)
        watched.begin()
        die_with(me)
        watched.report_signals(writing)
    os.close(reading)
    if signals >= 0:
        os.close(signals)
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _pipe() -> tuple[int, int]:
    ends = os.pipe()
    for end in ends:
        os.set_blocking(end, False)
    return ends


def _signal_file(numbers: Sequence[int]) -> int:
    """Returns a file from which blocked signals are read (`signalfd(2)`).

    Raises:
        OSError: When the system refuses it.
    """
    import ctypes

    library = ctypes.CDLL(None, use_errno=True)
    wanted = ctypes.create_string_buffer(128)  # the C library's sigset_t
    library.sigemptyset(wanted)
    for number in numbers:
        library.sigaddset(wanted, int(number))
    file: int = library.signalfd(-1, wanted, os.O_CLOEXEC | os.O_NONBLOCK)
    if file < 0:
        raise OSError(ctypes.get_errno(), "signalfd")
    return file


class _Child:
    """The process that does the work, as its watcher sees it.

    Args:
        process: Its id.
        signals: The file with the signals that the watcher gets.
        reports: The pipe into which the process writes the signals that it gets.
    """

    def __init__(self, process: int, signals: int, reports: int) -> None:
        self.process = process
        self._signals = signals
        self._reports = reports
        self._sources = [signals, reports]
        self._here: list[tuple[int, float]] = []
        self._there: list[tuple[int, float]] = []

    def wait(self) -> None:
        """Waits until the process has ended, and passes signals on. The process stays a zombie."""
        while os.waitid(os.P_PID, self.process, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            oldest = min((at for _, at in self._here), default=None)
            left = None if oldest is None else max(0.0, oldest + PATIENCE_S - time.monotonic())
            for source in select.select(self._sources, [], [], left)[0]:
                if source == self._signals:
                    self._read_own()
                else:
                    self._read_reports()
            self._pass_on()

    def _read_own(self) -> None:
        """Notes the signals that a process sent. The other process gets a Ctrl-C by itself."""
        for number, _, code in _SIGNAL.iter_unpack(os.read(self._signals, 16 * _SIGNAL.size)):
            by_terminal = code == _SI_KERNEL and number != signal.SIGHUP
            if number in PASSED_ON and not by_terminal:
                self._here.append((number, time.monotonic()))

    def _read_reports(self) -> None:
        numbers = os.read(self._reports, 1024)
        if not numbers:  # It has closed all its files, or is another program by now.
            self._sources.remove(self._reports)
        now = time.monotonic()
        self._there += [(number, now) for number in numbers if number in PASSED_ON]

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
            else:
                # If it is pending there too, it stays one signal.
                os.kill(self.process, number)
        self._here = waiting


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
    if -code in PASSED_ON:
        signal.signal(-code, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [-code])
        os.kill(os.getpid(), -code)
    noted = watched.noted_code()
    if replaced and code >= 0 and watched.noted_replacement():
        noted = code
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
            "does, or another program took its place"
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
