"""An entry of a plugin in the cache of a workspace, which `halo runs gc` lists and removes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class CacheEntry:
    """A file or folder in the cache of a workspace.

    Attributes:
        kind: Kind of the content, for people: ``tokens``.
        path: The file or folder, below the cache.
        lost: Consequence of its removal, as a sentence without a full stop.
        last_used: Unix seconds of its last use, as far as known.
        in_use: Whether a process uses it now; None if that cannot be known. It is then kept while
            a run is running.
        paid: Whether it cost money. It is then only removed with an option of its own.
    """

    kind: str
    path: Path
    lost: str
    last_used: float
    in_use: bool | None = None
    paid: bool = False
