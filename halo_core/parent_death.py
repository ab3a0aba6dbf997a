"""Ends this process when the process that started it ends."""

from __future__ import annotations

import os
import signal
import sys
import time

ABANDONED = 1
"""Exit code of a process that ends because its starter is gone. Nobody is left to see it."""
POLL_S = 1.0
"""Seconds between two looks whether the parent lives."""
_PR_SET_PDEATHSIG = 1


def die_with(parent: int) -> None:
    """Lets Linux kill this process when its parent ends; does nothing on other systems.

    For Linux, the parent is the thread that started this process. So that thread must live longer.

    Args:
        parent: The id of the parent. If it has ended already, this process ends too.
    """
    if sys.platform != "linux":
        return
    import ctypes

    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    if parent != os.getppid():  # It ended before the system knew.
        os._exit(ABANDONED)


def leave_after(seconds: float) -> None:
    """Ends this process some seconds after its parent has ended, whatever it does by then.

    This is for a process that has something to finish when its parent is gone, with code of plugins
    that may never return.

    Args:
        seconds: The time for what it has to finish.
    """
    import threading  # Each command imports this module, and few call this function.

    parent = os.getppid()

    def leave() -> None:
        while os.getppid() == parent:
            time.sleep(POLL_S)
        time.sleep(seconds)
        os._exit(ABANDONED)

    threading.Thread(target=leave, name="parent", daemon=True).start()
