"""Starts processes that end, with all that they started, when this process ends.

There are three ways. Processes that could stay take one of them; `git`, for example, does not:

* A supervisor watches a pipe of this process, and ends the others (this module). It is for
  programs of others, such as pip and the server of a tracker, and for code of plugins that may
  start processes.
* A program of halo watches such a pipe or its parent itself: `halo_core.run.lifeline` for workers,
  `halo_core.tracking.host`, `halo_core.run.report_writer`, `halo cell`.
* A short fork asks Linux to end it with its parent (`halo_core.parent_death`).
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from halo_core import supervisor


@contextmanager
def supervised(
    command: Sequence[str], *, tidy_s: float = 0.0, **options: Any
) -> Iterator[subprocess.Popen[Any]]:
    """Starts a program. All of its processes end with the block, or with this process.

    Args:
        command: The program and its arguments.
        tidy_s: Seconds for a program that removes its temporary files after a Ctrl-C. It gets one
            SIGINT first, and is in a session of its own. 0 for one that gets SIGTERM at once.
        options: Further arguments of `subprocess.Popen`.

    Yields:
        The process of the supervisor. It passes SIGTERM on, and ends as the program does.

    Raises:
        OSError: When Python cannot be started. A program that cannot be started ends with 127.
    """
    here = (sys.executable, "-I", "-S", supervisor.__file__)
    reading, writing = os.pipe()
    try:
        try:
            process = subprocess.Popen(
                [*here, str(reading), str(tidy_s), *command],
                pass_fds=(reading,),
                **options,
            )
        finally:
            os.close(reading)
    except BaseException:
        os.close(writing)
        raise
    try:
        yield process
    finally:
        os.close(writing)
        process.wait()


def run_supervised(
    command: Sequence[str],
    *,
    timeout: float | None = None,
    tidy_s: float = 0.0,
    **options: Any,
) -> subprocess.CompletedProcess[Any]:
    """Runs a program to its end, as `subprocess.run` does, and returns its result.

    Args:
        command: The program and its arguments.
        timeout: Seconds after which it is ended; None for no limit.
        tidy_s: Seconds for a program that tidies up after a Ctrl-C, as in `supervised`.
        options: Further arguments of `subprocess.Popen`.

    Raises:
        OSError: When Python cannot be started.
        subprocess.TimeoutExpired: When it took too long.
    """
    with supervised(command, tidy_s=tidy_s, **options) as process:
        out, err = process.communicate(timeout=timeout)
    return subprocess.CompletedProcess(command, process.returncode, out, err)


@contextmanager
def supervised_fork(
    work: Callable[[], object],
    *,
    grace_s: float = supervisor.GRACE_S,
    close: Sequence[int] = (),
    after: Callable[[], object] = lambda: None,
) -> Iterator[int]:
    """Forks a process for some work. All of its processes end with the block, or with this process.

    Args:
        work: The work. When it returns, the process ends with 0, and with 1 if it raises an error.
        grace_s: Seconds from SIGTERM to SIGKILL for processes that remain; 0 for SIGKILL at once.
        close: Files that only the work needs, such as the end of a pipe to this process.
        after: Called in the supervisor when no process is left, to tidy up.

    Yields:
        The id of the supervisor. It ends as the work does. It may have been waited for.

    Raises:
        OSError: When the system refuses a process.
    """
    reading, writing = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    try:
        process = os.fork()
    except OSError:
        os.close(reading)
        os.close(writing)
        raise
    if not process:
        try:
            os.close(writing)
            supervisor.supervise(work, reading, grace_s=grace_s, close=close, after=after)
        finally:
            os._exit(0)  # The caller must never continue in two processes.
    os.close(reading)
    try:
        yield process
    finally:
        os.close(writing)
        with suppress(ChildProcessError):
            os.waitpid(process, 0)


__all__ = ["run_supervised", "supervised", "supervised_fork"]
