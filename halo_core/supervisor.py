"""A process between halo and one that it starts. It ends all of them when halo is gone.

A killed process cannot end the processes that it started. So halo starts those that do not look for
it themselves with a supervisor in between (`halo_core.supervised`). The supervisor has the reading
end of a pipe, and only the starter has the other one. When the starter ends, however that happens,
the system closes its end. Then the supervisor ends all processes below it. It does the same with
those that remain when the program itself has ended. On Linux, it adopts processes that lost their
parent or began a session of their own, so none of them escapes.

It ends as the program did, with the same exit code or by the same signal. It passes SIGTERM on, and
ignores Ctrl-C and SIGHUP, which a terminal sends to the whole process group. A signal that the
starter ignores, as SIGHUP under nohup, is ignored by the program too, as without a supervisor.

A program that removes its temporary files after a Ctrl-C, such as pip, may get some time for it. It
is then in a session of its own, so that the starter decides when it gets the Ctrl-C of a terminal.

As a program, ``python -I -S supervisor.py PIPE TIDY_S PROGRAM ARGUMENT ...`` starts in 20 ms.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from types import FrameType
from typing import NoReturn

GRACE_S = 5.0
"""Seconds from SIGTERM to SIGKILL for processes that remain."""
END_S = 10.0
"""Seconds after SIGKILL after which the supervisor waits no longer."""
ROUND_S = 0.01
NOT_STARTED = 127
"""Exit code if the program cannot be started, as in shells."""

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Signals with which people and systems end a program."""
_PR_SET_CHILD_SUBREAPER = 36


def supervise(
    work: Callable[[], object],
    pipe: int,
    *,
    grace_s: float = GRACE_S,
    tidy_s: float = 0.0,
    close: Sequence[int] = (),
    after: Callable[[], object] = lambda: None,
) -> NoReturn:
    """Makes this process the supervisor of a forked one, and ends as that one does.

    Args:
        work: The work of the forked process. When it returns, the process ends with 0. If it
            raises an error, that is written to stderr, and the exit code is 1.
        pipe: The reading end of the pipe whose other end only the starter has.
        grace_s: Seconds from SIGTERM to SIGKILL for processes that remain; 0 for SIGKILL at once.
        tidy_s: Seconds from one SIGINT, as of a Ctrl-C, to SIGTERM; 0 for SIGTERM at once.
        close: Files that this process does not need, such as ends of other pipes.
        after: Called at the end, when no process is left, to tidy up.
    """
    status = 1 << 8  # exit code 1
    try:
        _adopt_orphans()
        heard = [n for n in _ENDING if signal.getsignal(n) is not signal.SIG_IGN]
        for number in (signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        waking, wake = os.pipe()
        for end in (waking, wake):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, _nothing)
        # A SIGTERM waits until there is a process that it can be passed on to.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
        child = _forked(work, pipe, heard, mask, alone=tidy_s > 0)
        told: set[tuple[int, int]] = set()
        signal.signal(signal.SIGTERM, _passing_on(child, told, tidies=tidy_s > 0))
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        for each in close:
            os.close(each)
        ended = _waited(child, pipe, waking)
        _end_all(child, grace_s, tidy_s, told)
        after()
        status = 0 if ended is None else ended
    except Exception as error:  # For example, the system refuses a process.
        _say(error)
    finally:
        _end_with(os.waitstatus_to_exitcode(status))


def _forked(
    work: Callable[[], object],
    pipe: int,
    heard: Sequence[int],
    mask: Iterable[int],
    *,
    alone: bool,
) -> int:
    """Returns the id of a process that does the work, and ends with this one.

    Args:
        work: The work.
        pipe: The pipe that only this process reads.
        heard: The signals that end the process, as they would end the starter.
        mask: The signals that are blocked in it.
        alone: Whether it is in a session of its own, in which only this process sends it a SIGINT.
    """
    from halo_core.parent_death import die_with

    me = os.getpid()
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        os.close(pipe)
        signal.set_wakeup_fd(-1)
        if alone:
            os.setsid()
            heard = [*heard, signal.SIGINT]
        for number in (*heard, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        die_with(me)
        work()
        code = 0
    except Exception as error:
        _say(error)
    finally:
        os._exit(code)


def _say(error: Exception) -> None:
    with suppress(OSError):  # stderr may be closed.
        os.write(2, f"{type(error).__name__}: {error}\n".encode(errors="backslashreplace"))


def _nothing(number: int, frame: FrameType | None) -> None:
    """Handles SIGCHLD, so that Python notes it and the system does not reap the child."""


def _passing_on(
    child: int, told: set[tuple[int, int]], *, tidies: bool
) -> Callable[[int, FrameType | None], None]:
    """Returns the handler of SIGTERM, which a process that tidies up gets as SIGINT, once."""

    def handler(number: int, frame: FrameType | None) -> None:
        if tidies:
            _tell(child, signal.SIGINT, told)
        else:
            _kill(child, number)

    return handler


def _adopt_orphans() -> None:
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _waited(child: int, pipe: int, waking: int) -> int | None:
    """Waits for the end of a process or of the starter.

    Returns:
        The status of the process; None if the starter is gone.
    """
    while True:
        for process, status in _reaped():
            if process == child:
                return status
        ready = select.select([pipe, waking], [], [])[0]
        if waking in ready:
            os.read(waking, 1024)
        elif not os.read(pipe, 1024):
            return None


def _reaped() -> list[tuple[int, int]]:
    """Returns the processes that have ended since the last call, with their status."""
    found = []
    with suppress(ChildProcessError):
        while (pair := os.waitpid(-1, os.WNOHANG))[0]:
            found.append(pair)
    return found


def _end_all(child: int, grace_s: float, tidy_s: float, told: set[tuple[int, int]]) -> None:
    """Ends all processes below this one: with SIGINT, then SIGTERM, then SIGKILL."""
    begun, pause = time.monotonic(), ROUND_S
    while (past := time.monotonic() - begun) < tidy_s + grace_s + END_S:
        _reaped()
        below = _below(child)
        if not below:
            _reaped()  # Otherwise the first process of a container may keep them for ever.
            return
        for process in below:
            if past >= tidy_s + grace_s:
                _kill(process, signal.SIGKILL)
            else:
                _tell(process, signal.SIGINT if past < tidy_s else signal.SIGTERM, told)
        time.sleep(pause)
        pause = min(2 * pause, 0.2)


def _tell(process: int, number: int, told: set[tuple[int, int]]) -> None:
    """Sends a process a signal with which it may end by itself, once."""
    if (process, number) not in told:
        told.add((process, number))
        _kill(process, number)
        _kill(process, signal.SIGCONT)  # One that is stopped would not see it.


def _below(child: int) -> list[int]:
    """Returns the processes below this one; without ``/proc``, only its own child."""
    me = os.getpid()
    if not os.path.exists(f"/proc/{me}/stat"):
        with suppress(OSError):
            os.kill(child, 0)
            return [child]
        return []
    parents: dict[int, int] = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        with suppress(OSError, ValueError, IndexError):
            with open(f"/proc/{name}/stat", "rb") as file:
                # The name of the program, which may have blanks, is in parentheses.
                state, parent = file.read().rpartition(b")")[2].split()[:2]
            if state not in (b"Z", b"X"):
                parents[int(name)] = int(parent)
    found: list[int] = []
    for process in parents:
        above = process
        while (above := parents.get(above, 0)) not in (0, me):
            pass
        if above == me:
            found.append(process)
    return found


def _kill(process: int, number: int) -> None:
    with suppress(OSError):
        os.kill(process, number)


def _end_with(code: int) -> NoReturn:
    """Ends this process with an exit code, or by the signal of a negative one."""
    if code < 0:
        with suppress(OSError, ValueError):  # SIGKILL has no handler to change.
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code if code >= 0 else 128 - code)


def main(arguments: Sequence[str]) -> NoReturn:
    """Runs a program.

    Args:
        arguments: The number of the pipe, `tidy_s`, the program and its arguments.
    """
    pipe, tidy_s, command = int(arguments[0]), float(arguments[1]), arguments[2:]

    def start() -> None:
        # Python ignores these, and what a program ignores stays so in the one that replaces it.
        for number in (signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(number, signal.SIG_DFL)
        try:
            os.execvp(command[0], [*command])
        except OSError as error:
            with suppress(OSError):
                os.write(2, f"cannot start {command[0]}: {error.strerror}\n".encode())
            os._exit(NOT_STARTED)

    supervise(start, pipe, tidy_s=tidy_s)


if __name__ == "__main__":
    # Python started with -I and -S, which is fast, and so without the folders of packages.
    sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    main(sys.argv[1:])
