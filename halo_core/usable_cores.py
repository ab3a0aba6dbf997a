"""The number of cores that this process may use."""

from __future__ import annotations

import os


def usable_cores() -> int:
    """Returns the number of cores that this process may use, at least 1.

    On Linux, it may be restricted to some cores of the machine, as by `taskset` or a batch system.
    """
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


__all__ = ["usable_cores"]
