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
from pathlib import Path

from halo_core.component import Component
from halo_core.testing.component import expect

LINGER_S = 1.0
"""Seconds after which the threads and processes of a call must have ended."""

HELPERS = (b"resource_tracker", b"forkserver", b"resource_sharer", b"compile_worker")
"""Words in the commands of processes that Python and torch keep until the end of a program."""


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
    commands = [_command(each).decode("utf-8", "replace") for each in sorted(left)]
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


def children_of(process: int) -> set[int]:
    """Returns the processes that a process started and that still run, on Linux."""
    found: set[int] = set()
    with suppress(OSError):  # It has ended, or this is another system.
        for task in Path(f"/proc/{process}/task").iterdir():
            with suppress(OSError):
                found |= {int(each) for each in (task / "children").read_text().split()}
    return {each for each in found if _runs(each)}


def _runs(process: int) -> bool:
    """Returns whether a process has not ended, and is not one of `HELPERS`."""
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return False
    # One that has ended is a zombie until its parent waits for it.
    return state not in "ZX" and not any(word in _command(process) for word in HELPERS)


def _command(process: int) -> bytes:
    with suppress(OSError):
        return Path(f"/proc/{process}/cmdline").read_bytes().replace(b"\0", b" ").strip()
    return b""


__all__ = ["children_of", "leaves_nothing_running", "still_running", "threads_of"]
