"""How busy this machine is with other programs, for limits of time that blame nobody for it."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path

MOST = 10.0
"""Largest number by which a limit is multiplied."""


def busy() -> float:
    """Returns the number by which a limit in seconds is multiplied: 1 on a quiet machine."""
    if not hasattr(os, "getloadavg"):
        return 1.0
    return min(MOST, max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1)))


def own_time() -> float:
    """Returns seconds of a clock that stands still while this thread waits for a processor.

    On Linux, a difference of two such times is short on a busy machine, too. A sleep counts.
    """
    waited = 0.0
    with suppress(OSError, ValueError, IndexError):
        waited = int(Path("/proc/thread-self/schedstat").read_text().split()[1]) / 1e9
    return time.monotonic() - waited


__all__ = ["busy", "own_time"]
