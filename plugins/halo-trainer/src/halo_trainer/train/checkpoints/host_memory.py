"""The host memory that a process can still use."""

from __future__ import annotations

import os
from pathlib import Path

import psutil

CGROUP = Path("/sys/fs/cgroup")
"""The folder of this container's limits on Linux (cgroup v2)."""


def processes_here() -> int:
    """Returns the number of processes of the training on this machine, from its launcher."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


def free_memory(cgroup: Path = CGROUP) -> int:
    """Returns the bytes of host memory that are free, also within the limit of a container.

    The memory of files that the system can drop counts as free.

    Args:
        cgroup: The folder of the container's limits. It is left out if it has no limit.
    """
    free = int(psutil.virtual_memory().available)
    within = _free_within(cgroup)
    return free if within is None else min(free, within)


def _free_within(cgroup: Path) -> int | None:
    try:
        limit = (cgroup / "memory.max").read_text().strip()
        if limit == "max":
            return None
        used = int((cgroup / "memory.current").read_text())
        statistics = (cgroup / "memory.stat").read_text().splitlines()
        values = dict(line.split(maxsplit=1) for line in statistics)
        return max(0, int(limit) - used + int(values.get("inactive_file", "0")))
    except (OSError, ValueError):
        return None
