"""One process at a time in a folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from halo_core.errors import BusyError

if TYPE_CHECKING:
    from filelock import BaseFileLock

POLL_S = 0.2


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
def awaited(
    folder: Path, *, first: Callable[[], None], check: Callable[[], None]
) -> Iterator[None]:
    """Holds the lock of a folder, waiting for it as long as another process holds it.

    Args:
        folder: The folder.
        first: Called once when there is something to wait for.
        check: Called again and again while waiting; what it raises ends the waiting.
    """
    lock = _lock(folder)
    if not _acquired(lock, 0):
        first()
        while not _acquired(lock, POLL_S):
            check()
    try:
        yield
    finally:
        lock.release()


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Holds the lock of a folder for a short while; others wait."""
    with _lock(folder):
        yield


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
