"""The runs that use each stage."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path

from halo_core.overview.run_entry import RunEntry


def stage_users(entries: Iterable[RunEntry]) -> Mapping[Path, set[str]]:
    """Returns the names of the runs that use each stage, by the stage's folder."""
    users: dict[Path, set[str]] = defaultdict(set)
    for entry in entries:
        for folder in entry.stage_folders().values():
            users[folder].add(entry.name)
    return users
