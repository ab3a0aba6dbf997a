"""Counts the memory of mapped files, for tests of what reading a file leaves there."""

from __future__ import annotations

from pathlib import Path


def mapped_bytes(file: Path) -> int:
    """Returns the bytes of a mapped file that count as memory of this process.

    A program that maps no page of a file, or does not map it at all, has 0.

    Raises:
        OSError: When the system is not Linux, which alone tells it.
    """
    found, name = 0, ""
    for line in Path("/proc/self/smaps").read_text().splitlines():
        fields = line.split(maxsplit=5)
        if not fields[0].endswith(":"):
            name = fields[5] if len(fields) > 5 else ""
        elif fields[0] == "Rss:" and name == str(file.resolve()):
            found += 1024 * int(fields[1])
    return found
