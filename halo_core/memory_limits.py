"""The memory that this process may use: that of the machine, of its container and of its shell."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

ROOT = Path("/")
"""The folder with `proc` and `sys`."""

MACHINE = "this machine"
"""The words for the whole memory."""

_NO_LIMIT = 2**60
"""A larger number in a file of cgroup v1 means that there is no limit."""


@dataclass(frozen=True)
class MemoryLimit:
    """A limit of the memory of this process.

    Attributes:
        size: Number of bytes.
        of: The owner of the limit in words, such as `MACHINE`.
        used: Number of bytes that are used within the limit, without files that the system can
            drop; None if it is not known.
    """

    size: int
    of: str
    used: int | None = None

    @property
    def left(self) -> int:
        """Number of bytes that are still free within the limit, if it is known what is used."""
        return max(0, self.size - (self.used or 0))


def memory_limits(root: Path = ROOT) -> list[MemoryLimit]:
    """Returns all known limits of the memory of this process: at least one, on Linux and macOS.

    Args:
        root: The folder with `proc` and `sys`.
    """
    return [*_of_machine(root), *container_limits(root), *_of_shell()]


def least_memory(root: Path = ROOT) -> MemoryLimit | None:
    """Returns the smallest limit; None if no limit is known."""
    return min(memory_limits(root), key=lambda limit: limit.size, default=None)


def _of_machine(root: Path) -> Iterator[MemoryLimit]:
    try:
        lines = dict(
            line.split(":", 1) for line in (root / "proc/meminfo").read_text().splitlines()
        )
        whole, free = (int(lines[name].split()[0]) * 1024 for name in ("MemTotal", "MemAvailable"))
        yield MemoryLimit(whole, MACHINE, whole - free)
    except (OSError, ValueError, KeyError):  # This is not Linux.
        if "SC_PHYS_PAGES" in getattr(os, "sysconf_names", ()):
            size = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
            yield MemoryLimit(size, MACHINE)


def container_limits(root: Path = ROOT) -> Iterator[MemoryLimit]:
    """Yields the limits of the control groups that this process is in (cgroup v1 and v2, Linux).

    A limit of a group holds for all groups below it. Inside a container, the path of the group may
    be that outside of it. The container then sees its own group as the topmost one.
    """
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = (*line.split(":", 2), "", "")[:3]
        if not controllers:
            tops = [root / "sys/fs/cgroup", root / "sys/fs/cgroup/unified"]
            names = ("memory.max", "memory.current", "inactive_file")
        elif "memory" in controllers.split(","):
            tops = [root / "sys/fs/cgroup/memory"]
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        else:
            continue
        below = PurePosixPath(path.lstrip("/"))
        for top in tops:
            for folder in (below, *below.parents):
                yield from _of_group(top / folder, *names)


def _of_group(folder: Path, limit: str, usage: str, inactive: str) -> Iterator[MemoryLimit]:
    file = folder / limit
    try:
        size = int(file.read_text())
    except (OSError, ValueError):  # There is no such group, or the file contains "max".
        return
    if size < _NO_LIMIT:
        yield MemoryLimit(size, f"this container ({file})", _used(folder, usage, inactive))


def _used(folder: Path, usage: str, inactive: str) -> int | None:
    try:
        used = int((folder / usage).read_text())
        lines = (folder / "memory.stat").read_text().splitlines()
        values = dict(line.split(maxsplit=1) for line in lines)
        return max(0, used - int(values.get(inactive, "0")))
    except (OSError, ValueError):
        return None


def _of_shell() -> Iterator[MemoryLimit]:
    try:
        import resource
    except ImportError:  # This is Windows.
        return
    for kind, option in ((resource.RLIMIT_AS, "-v"), (resource.RLIMIT_DATA, "-d")):
        size, _ = resource.getrlimit(kind)
        if size != resource.RLIM_INFINITY:
            yield MemoryLimit(size, f"the limit of the shell (ulimit {option})")
