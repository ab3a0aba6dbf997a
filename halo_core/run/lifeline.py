"""What ends the workers of a stage when the run that started them is gone, however it ended.

A run that is killed can tell its workers nothing. So each worker holds the reading end of a pipe,
as its standard input, whose writing end only the controller has: the system closes that end with
the controller, and the pipe then ends for all who read it. Launchers hand their standard input on.
On Linux the system kills a worker, besides, when the process that started it ends.

Workers end at once and without a checkpoint, as if they had been killed themselves. Whoever comes
next finds the last checkpoint, and nobody who works in the same folder.
"""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

LIFELINE = "HALO_LIFELINE"
"""Names the pipe. A worker whose standard input is something else has no lifeline."""
STARTER = "HALO_STARTER"
"""The process id of the controller or of the launcher, whichever starts the next process."""
ABANDONED = 1
"""The exit code of a worker that ends because the controller is gone; nobody is left to see it."""
_PR_SET_PDEATHSIG = 1


@contextmanager
def on_lifeline(command: Sequence[str]) -> Iterator[subprocess.Popen[bytes]]:
    """Starts a command whose processes end when this block ends, or this process.

    Raises:
        OSError: When there is no such program, or it cannot be started.
        ValueError: When an argument cannot be passed on.
    """
    reading, writing = os.pipe()
    try:
        try:
            # A session of its own: the terminal sends Ctrl-C to a whole group, and workers shall
            # get it once, from the loop that waits for them.
            process = subprocess.Popen(
                command,
                stdin=reading,
                stdout=sys.stderr,
                env=os.environ | {LIFELINE: _name(reading), STARTER: str(os.getpid())},
                start_new_session=True,
            )
        finally:
            os.close(reading)
        yield process
    finally:
        os.close(writing)


def end_with_controller(environment: Mapping[str, str] = os.environ) -> bool:
    """Lets this process end with the controller that it works for, and returns whether it has one.

    A launcher calls it as each worker does. It does nothing in a process that no controller
    started.
    """
    if not _is_lifeline(environment):
        return False
    _die_with_starter(environment)
    threading.Thread(target=_wait_for_end, name="lifeline", daemon=True).start()
    return True


def starts_workers() -> None:
    """Says that the processes that are started from here on belong to this one."""
    os.environ[STARTER] = str(os.getpid())


def _is_lifeline(environment: Mapping[str, str]) -> bool:
    try:
        return LIFELINE in environment and environment[LIFELINE] == _name(0)
    except OSError:  # no standard input at all
        return False


def _name(descriptor: int) -> str:
    """Returns a name of a pipe that all processes give it; "" for what is no pipe."""
    status = os.fstat(descriptor)
    return f"{status.st_dev}:{status.st_ino}" if stat.S_ISFIFO(status.st_mode) else ""


def _die_with_starter(environment: Mapping[str, str]) -> None:
    # Only with the one that says it waits: another one may well end before its processes do.
    starter = environment.get(STARTER)
    if sys.platform != "linux" or starter != str(os.getppid()):
        return
    import ctypes

    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    if starter != str(os.getppid()):  # It was gone before the system knew.
        os._exit(ABANDONED)


def _wait_for_end() -> None:
    # Nothing is ever written: the read returns when the last writing end is closed.
    while os.read(0, 1024):
        pass
    # Not sys.exit: the main thread may be in a step, or wait for a rank that is gone already.
    os._exit(ABANDONED)
