"""The host memory that a process can still use."""

from __future__ import annotations

import os
from pathlib import Path

import psutil

from halo_core.memory_limits import ROOT, container_limits


def processes_here() -> int:
    """Returns the number of processes of the training on this machine, from its launcher."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


def free_memory(root: Path = ROOT) -> int:
    """Returns the bytes of host memory that are free, also within the limits of a container.

    The memory of files that the system can drop counts as free.

    Args:
        root: The folder with `proc` and `sys`.
    """
    within = [limit.left for limit in container_limits(root) if limit.used is not None]
    return min([int(psutil.virtual_memory().available), *within])
