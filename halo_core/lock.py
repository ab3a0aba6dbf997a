"""One process at a time in a folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from halo_core.errors import UserError


@contextmanager
def locked(folder: Path, message: str) -> Iterator[None]:
    """Holds the lock of a folder, which lies beside it.

    Args:
        folder: The folder.
        message: What to say when another process holds it.

    Raises:
        UserError: When another process holds it.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(folder.with_name(f".{folder.name}.lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise UserError(message, location=str(folder)) from None
    try:
        yield
    finally:
        lock.release()
