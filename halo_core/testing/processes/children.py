"""Finds the processes that a process started and that still run, on Linux."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

HELPERS = (b"resource_tracker", b"forkserver", b"resource_sharer", b"compile_worker")
"""Words in the commands of processes that Python and torch keep until the end of a program."""


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
    return state not in "ZX" and not any(word in command_of(process) for word in HELPERS)


def command_of(process: int) -> bytes:
    """Returns the command of a process; nothing if it has ended."""
    with suppress(OSError):
        return Path(f"/proc/{process}/cmdline").read_bytes().replace(b"\0", b" ").strip()
    return b""


__all__ = ["HELPERS", "children_of", "command_of"]
