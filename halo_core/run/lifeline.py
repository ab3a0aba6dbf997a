"""Ends the workers of a stage when the run that started them is gone, however it ended.

A killed run cannot tell its workers anything. So the standard input of each worker is the reading
end of a pipe, and only the controller has the writing end. When the controller ends, the system
closes that end, and all readers see the end of the pipe. Launchers pass their standard input on. On
Linux, the system also kills a worker when the process that started it ends.

Workers end at once and without a checkpoint, as if they had been killed themselves. The next run
finds the last checkpoint, and no other process in the folder.
"""

from __future__ import annotations

import os
import stat
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from halo_core.parent_death import ABANDONED, die_with

LIFELINE = "HALO_LIFELINE"
"""Environment variable with the name of the pipe. A worker with another standard input has no
lifeline."""
STARTER = "HALO_STARTER"
"""Environment variable with the id of the process, controller or launcher, that starts the next
one."""


@contextmanager
def on_lifeline(
    command: Sequence[str], environment: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Starts a command whose processes end when this block or this process ends.

    The stdout of the process has everything that its processes print, on stdout and stderr.

    Args:
        command: The program and its arguments.
        environment: Further environment variables.

    Raises:
        OSError: When there is no such program, or it cannot be started.
        ValueError: When an argument cannot be passed on.
    """
    reading, writing = os.pipe()
    try:
        try:
            # Workers get their own session. The terminal sends Ctrl-C to a whole process group,
            # but workers must get it only once, from the loop that waits for them.
            process = subprocess.Popen(
                command,
                stdin=reading,
                # One display per terminal: whoever reads this prints the lines above it.
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=os.environ
                | dict(environment or {})
                | {LIFELINE: _name(reading), STARTER: str(os.getpid())},
                start_new_session=True,
            )
        finally:
            os.close(reading)
        yield process
    finally:
        os.close(writing)


def end_with_controller(environment: Mapping[str, str] = os.environ) -> bool:
    """Makes this process end with its controller, and returns whether it has one.

    A launcher calls it as each worker does. It does nothing in a process that no controller
    started.
    """
    if not _is_lifeline(environment):
        return False
    _die_with_starter(environment)
    threading.Thread(target=_wait_for_end, name="lifeline", daemon=True).start()
    return True


def starts_workers() -> None:
    """Declares that processes started from now on belong to this process."""
    os.environ[STARTER] = str(os.getpid())


def _is_lifeline(environment: Mapping[str, str]) -> bool:
    try:
        return LIFELINE in environment and environment[LIFELINE] == _name(0)
    except OSError:  # no standard input at all
        return False


def _name(descriptor: int) -> str:
    """Returns a name of a pipe that is the same in all processes; "" if it is not a pipe."""
    status = os.fstat(descriptor)
    return f"{status.st_dev}:{status.st_ino}" if stat.S_ISFIFO(status.st_mode) else ""


def _die_with_starter(environment: Mapping[str, str]) -> None:
    # Only for a starter that says that it waits: another one may end before its processes do.
    starter = environment.get(STARTER)
    if starter == str(os.getppid()):
        die_with(int(starter))


def _wait_for_end() -> None:
    # Nothing is ever written. The read returns when the last writing end is closed.
    while os.read(0, 1024):
        pass
    # Not sys.exit: the main thread may be in a step, or waiting for a rank that is already gone.
    os._exit(ABANDONED)
