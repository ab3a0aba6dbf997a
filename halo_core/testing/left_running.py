"""Finds threads and processes that code starts and leaves running."""

from __future__ import annotations

import inspect
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from halo_core.component import Component
from halo_core.testing.component import expect
from halo_core.testing.processes.children import children_of, command_of

LINGER_S = 1.0
"""Seconds after which the threads and processes of a call must have ended."""


def still_running(started: Sequence[threading.Thread], end_s: float) -> list[str]:
    """Waits for threads, and returns the names of those that still run at the end.

    Args:
        started: The threads.
        end_s: The end of the wait, as `time.monotonic` counts it.
    """
    for thread in started:
        thread.join(max(0.0, end_s - time.monotonic()))
    return [thread.name for thread in started if thread.is_alive()]


@contextmanager
def leaves_nothing_running(component: Component, doing: str) -> Iterator[None]:
    """Checks that a block leaves no thread that its file started, and no process.

    Processes that are left are ended. They are known on Linux only.

    Args:
        component: The component.
        doing: The calls in the block, for the message.

    Raises:
        AssertionError: When one is left after `LINGER_S`.
    """
    before = children_of(os.getpid())
    with threads_of(component) as started:
        yield
    end = time.monotonic() + LINGER_S
    running = still_running(started, end)
    expect(
        not running,
        component,
        f"after {doing}, its thread {', '.join(running)} still runs; end it before the return",
    )
    while (left := children_of(os.getpid()) - before) and time.monotonic() < end:
        time.sleep(0.05)
    commands = [command_of(each).decode("utf-8", "replace") for each in sorted(left)]
    for each in left:
        with suppress(OSError):
            os.kill(each, signal.SIGKILL)
    expect(
        not left,
        component,
        f"after {doing}, a process that it started still runs ({'; '.join(commands)}); end it and "
        "wait for it, as `with ProcessPoolExecutor(...)` does",
    )


@contextmanager
def threads_of(component: Component) -> Iterator[list[threading.Thread]]:
    """Yields the threads that code of the component's file starts in the block."""
    mine = inspect.getsourcefile(type(component)) or ""
    started: list[threading.Thread] = []
    start = threading.Thread.start

    def noted(thread: threading.Thread) -> None:
        if sys._getframe(1).f_code.co_filename == mine:
            started.append(thread)
        start(thread)

    threading.Thread.start = noted  # type: ignore[method-assign, assignment]
    try:
        yield started
    finally:
        threading.Thread.start = start  # type: ignore[method-assign]


__all__ = ["leaves_nothing_running", "still_running", "threads_of"]
