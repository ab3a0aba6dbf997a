"""Ends a process that code of others forked, before it does the work of halo a second time."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from halo_core import printing

CODE = 1
"""Exit code of such a process. Only who forked it sees it."""


@contextmanager
def no_second_process(what: str) -> Iterator[None]:
    """Ends the process that leaves a `with` statement if it is not the one that came.

    Code that forks must end the new process with `os._exit`. If that process returned, or raised an
    error, both would continue the command: write the same files, and print its result twice.

    Args:
        what: Name of the call, for the message: ``Learn.run()``.
    """
    process = os.getpid()
    try:
        yield
    finally:
        if os.getpid() != process:
            printing.say(
                f"{what} forked the process {os.getpid()}, which came back to halo. halo ends it, "
                f"and process {process} continues. A forked process must end with os._exit",
                err=True,
            )
            os._exit(CODE)


__all__ = ["no_second_process"]
