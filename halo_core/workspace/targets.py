"""Finds the runs and suites that a command is given by name or by folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from halo_core.errors import PathError, did_you_mean
from halo_core.workspace.records import EVENTS, SUITE

SHOWN = 8
"""A message names so many of the runs and suites that are there."""


@dataclass(frozen=True)
class Target:
    """A run or a suite.

    Attributes:
        kind: Which of the two.
        folder: Where it lies: ``<workspace>/runs/...`` or ``<workspace>/suites/...``.
    """

    kind: Literal["run", "suite"]
    folder: Path

    @property
    def workspace(self) -> Path:
        """The workspace that it belongs to."""
        return self.folder.parent.parent


_MARKS: dict[Literal["run", "suite"], tuple[str, str]] = {
    "suite": ("suites", SUITE.name),
    "run": ("runs", EVENTS.name),
}


def find_target(name: str, workspace: Path) -> Target:
    """Returns the run or suite that a name means.

    Args:
        name: A folder, a folder's name, or the beginning of one where only one begins so.
        workspace: Where names are looked for.

    Raises:
        PathError: When there is none, or more than one.
    """
    for kind, (place, mark) in _MARKS.items():
        for folder in (Path(name), workspace / place / name):
            if (folder / mark).is_file():
                return Target(kind, folder.resolve())
    known = [
        Target(kind, path.parent.resolve())
        for kind, (place, mark) in _MARKS.items()
        for path in sorted((workspace / place).glob(f"*/{mark}"))
    ]
    begun = [target for target in known if target.folder.name.startswith(name)]
    suites = [target for target in begun if target.kind == "suite"]
    if len(begun) == 1 or len(suites) == 1:  # a suite's cells have runs that begin like it
        return (suites or begun)[0]
    if begun:
        found = ", ".join(target.folder.name for target in suites or begun)
        raise PathError(f"{name!r} is the beginning of {len(suites or begun)} names: {found}")
    raise PathError(f"no run or suite {name!r}{_there(name, known)}", location=str(workspace))


def _there(name: str, known: Sequence[Target]) -> str:
    """Returns the nearest name and the first of those there, suites first."""
    names = [target.folder.name for target in known]
    begun = [found.rpartition("-")[0] for found in names]
    guess = did_you_mean(name, names) or did_you_mean(name, begun)
    more = f" and {len(known) - SHOWN} more" if len(known) > SHOWN else ""
    shown = ", ".join(f"{target.kind} {target.folder.name}" for target in known[:SHOWN])
    return f".{guess} There: {shown}{more}" if shown else "; there: nothing yet"
