"""Lets the system end this process when the process that started it ends."""

from __future__ import annotations

import os
import signal
import sys

ABANDONED = 1
"""Exit code of a process that ends because its starter is gone. Nobody is left to see it."""
_PR_SET_PDEATHSIG = 1


def die_with(parent: int) -> None:
    """Lets Linux kill this process when its parent ends; does nothing on other systems.

    Args:
        parent: The id of the parent. If it has ended already, this process ends too.
    """
    if sys.platform != "linux":
        return
    import ctypes

    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    if parent != os.getppid():  # It ended before the system knew.
        os._exit(ABANDONED)
