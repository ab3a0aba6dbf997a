"""One process at a time in a folder.

A stage's folder has two locks. The controller that computes the stage has its *turn*; whoever else
wants the stage waits for it, as long as it takes. The process that writes in the folder, which is
rank 0 of the workers or the controller itself, is its *owner*: it may outlive its controller, and
is not waited for longer than `PATIENCE_S`.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from halo_core.errors import BusyError, DataError
from halo_core.workspace.records import OWNER, OwnerRecord

if TYPE_CHECKING:
    from filelock import BaseFileLock

POLL_S = 0.2
PATIENCE_S = 30.0
"""So long an owner is waited for: more than it takes to end with its controller."""


@contextmanager
def locked(folder: Path, message: str) -> Iterator[None]:
    """Holds the lock of a folder, which lies beside it.

    Args:
        folder: The folder.
        message: What to say when another process holds it.

    Raises:
        BusyError: When another process holds it.
    """
    lock = _lock(folder)
    if not _acquired(lock, 0):
        raise BusyError(message, location=str(folder))
    try:
        yield
    finally:
        lock.release()


@contextmanager
def turn(folder: Path, *, first: Callable[[], None], check: Callable[[], None]) -> Iterator[None]:
    """Has the turn of computing a stage, waiting for it as long as another controller has it.

    Args:
        folder: The stage's folder.
        first: Called once when there is something to wait for.
        check: Called again and again while waiting; what it raises ends the waiting.
    """
    lock = _turn_lock(folder)
    if not _acquired(lock, 0):
        first()
        while not _acquired(lock, POLL_S):
            check()
    try:
        yield
    finally:
        lock.release()


@contextmanager
def unused(folder: Path, message: str) -> Iterator[None]:
    """Keeps others from a stage's folder that nobody computes.

    Args:
        folder: The stage's folder.
        message: What to say when another controller computes it.

    Raises:
        BusyError: When one does, or a process still owns the folder after `PATIENCE_S`.
    """
    lock = _turn_lock(folder)
    if not _acquired(lock, 0):
        raise BusyError(message, location=str(folder))
    try:
        wait_for_owner(folder)
        yield
    finally:
        lock.release()


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Holds the lock of a folder for a short while; others wait."""
    with _lock(folder):
        yield


def _nothing() -> None:
    pass


@contextmanager
def owned(
    folder: Path,
    *,
    first: Callable[[], None] = _nothing,
    check: Callable[[], None] = _nothing,
) -> Iterator[None]:
    """Owns a folder that is there: no other process writes in it, and all can see which one does.

    Args:
        folder: The folder.
        first: Called once when there is something to wait for.
        check: Called again and again while waiting; what it raises ends the waiting.

    Raises:
        BusyError: When another process still owns it after `PATIENCE_S`.
    """
    lock = _lock(folder)
    _wait(lock, folder, first, check)
    try:
        me = OwnerRecord(host=socket.gethostname(), process=os.getpid(), since=time.time())
        OWNER.write(folder, me)
        yield
    finally:
        (folder / OWNER.name).unlink(missing_ok=True)
        lock.release()


def wait_for_owner(
    folder: Path,
    *,
    first: Callable[[], None] = _nothing,
    check: Callable[[], None] = _nothing,
) -> None:
    """Returns when no process owns a folder; see `owned`."""
    lock = _lock(folder)
    _wait(lock, folder, first, check)
    lock.release()


def _turn_lock(folder: Path) -> BaseFileLock:
    return _lock(folder.with_name(f"{folder.name}.turn"))


def _wait(
    lock: BaseFileLock, folder: Path, first: Callable[[], None], check: Callable[[], None]
) -> None:
    if _acquired(lock, 0):
        return
    first()
    until = time.monotonic() + PATIENCE_S
    while not _acquired(lock, POLL_S):
        check()
        if time.monotonic() > until:
            raise BusyError(_busy(folder), location=str(folder))


def _busy(folder: Path) -> str:
    try:
        owner = OWNER.read(folder)
    except DataError:
        owner = None
    if owner is None:
        return "another process works in this folder; wait for it, or end it"
    host, process = owner["host"], owner["process"]
    there = "" if host == socket.gethostname() else f"ssh {host} "
    return (
        f"process {process} on {host} works in this folder, and did not end within "
        f"{PATIENCE_S:.0f} s. Wait for it, or end it with: {there}kill -9 {process}. "
        "Nothing that it saved is lost"
    )


def _lock(folder: Path) -> BaseFileLock:
    from filelock import FileLock

    folder.parent.mkdir(parents=True, exist_ok=True)
    # Beside the folder and not in it: `--again` removes folders, and would remove their locks.
    return FileLock(folder.with_name(f".{folder.name}.lock"))


def _acquired(lock: BaseFileLock, timeout_s: float) -> bool:
    from filelock import Timeout

    try:
        lock.acquire(timeout=timeout_s)
    except Timeout:
        return False
    return True
