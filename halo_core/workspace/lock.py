"""Locks that let only one process at a time work in a folder.

A stage's folder has two locks. The controller that computes the stage has its *turn*. Other
controllers that need the stage wait for it, as long as it takes. The process that writes in the
folder, which is rank 0 of the workers or the controller itself, is its *owner*. It may outlive its
controller, and others wait for it at most `PATIENCE_S`.
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
from halo_core.hashing import short_hash
from halo_core.workspace.no_links import check_not_a_link
from halo_core.workspace.records import OWNER, OwnerRecord

if TYPE_CHECKING:
    from filelock import BaseFileLock

POLL_S = 0.2
PATIENCE_S = 30.0
"""Maximum time to wait for an owner. An owner needs less time to end after its controller."""


@contextmanager
def locked(folder: Path, message: str) -> Iterator[None]:
    """Holds the lock of a folder. The lock is a file next to the folder.

    Args:
        folder: The folder.
        message: The error message if another process holds it.

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
    """Takes the turn of computing a stage. Waits as long as another controller has it.

    Args:
        folder: The stage's folder.
        first: A function that is called once if it has to wait.
        check: A function that is called repeatedly while it waits. An error in it ends the wait.
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
    """Keeps other processes out of a stage's folder that nobody is computing.

    Args:
        folder: The stage's folder.
        message: The error message if another controller is computing it.

    Raises:
        BusyError: When another controller is computing it, or a process still owns the folder after
            `PATIENCE_S`.
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
def idle(folder: Path, message: str) -> Iterator[None]:
    """Keeps other processes out of a stage's folder. Unlike `unused`, it never waits.

    Args:
        folder: The stage's folder.
        message: The error message if a controller computes the stage or a process owns the folder.

    Raises:
        BusyError: When one does.
    """
    with locked(folder.with_name(f"{folder.name}.turn"), message), locked(folder, message):
        yield


@contextmanager
def recorded_needs(root: Path) -> Iterator[None]:
    """Holds the lock under which runs record what they need, and under which stages are removed.

    A run holds it while it writes its record, before it looks into the store. A removal
    holds it while it reads all records and moves the stages away. So a run either is seen,
    or sees that the stage is gone.

    Args:
        root: The workspace.
    """
    with held(root / "needs"):
        yield


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Holds the lock of a folder for a short time. Other processes wait."""
    with _lock(folder):
        yield


def _nothing() -> None:
    pass


def sender_lock(run: Path, tracker: str) -> BaseFileLock:
    """Returns the lock, not yet taken, of the process that sends a run's events to a tracker.

    The process of a tracker may outlive its run for some seconds. The next one waits for it.

    Args:
        run: The run's folder.
        tracker: The name of the tracker.
    """
    return _lock(run / f"sends-{short_hash(tracker)}")


@contextmanager
def owned(
    folder: Path,
    *,
    first: Callable[[], None] = _nothing,
    check: Callable[[], None] = _nothing,
) -> Iterator[None]:
    """Owns an existing folder: no other process writes in it, and all can see which process does.

    Args:
        folder: The folder.
        first: A function that is called once if it has to wait.
        check: A function that is called repeatedly while it waits. An error in it ends the wait.

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


def is_owned(folder: Path) -> bool:
    """Returns whether a process owns a folder at this moment; see `owned`.

    If this user may not use the lock, a process on this machine is looked for, and a process on
    another machine is believed to be alive.
    """
    # The lock is only tried where somebody left a record. Otherwise a run that begins at this
    # moment would find it taken.
    try:
        owner = OWNER.read(folder)
    except DataError:
        owner = None
        if not (folder / OWNER.name).exists():
            return False
    else:
        if owner is None:
            return False
    lock = _lock(folder)
    try:
        free = _acquired(lock, 0)
    except OSError:
        return owner is None or owner["host"] != socket.gethostname() or _lives(owner["process"])
    if free:
        lock.release()
    return not free


def dead_owner(folder: Path) -> OwnerRecord | None:
    """Returns the process that owned a folder and ended without giving it back, if there is one.

    Only a process that ends at once leaves its record. After an error, the record is removed.
    """
    try:
        owner = OWNER.read(folder)
    except DataError:
        return None
    return None if owner is None or is_owned(folder) else owner


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


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
        return "another process is working in this folder; wait for it, or end it"
    host, process = owner["host"], owner["process"]
    there = "" if host == socket.gethostname() else f"ssh {host} "
    return (
        f"process {process} on {host} is working in this folder and did not end within "
        f"{PATIENCE_S:.0f} s. Wait for it, or end it with: {there}kill -9 {process}. "
        "Nothing that it saved is lost"
    )


def _lock(folder: Path) -> BaseFileLock:
    from filelock import FileLock

    folder.parent.mkdir(parents=True, exist_ok=True)
    # The lock is not inside the folder, because `--again` removes folders and would remove it.
    file = folder.with_name(f".{folder.name}.lock")
    check_not_a_link(file)  # Taking a lock empties its file.
    return FileLock(file)


def _acquired(lock: BaseFileLock, timeout_s: float) -> bool:
    from filelock import Timeout

    try:
        lock.acquire(timeout=timeout_s)
    except Timeout:
        return False
    return True
