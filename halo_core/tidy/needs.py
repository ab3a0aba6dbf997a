"""The stages and the rows that the runs of a workspace need, and that must not be removed.

A run needs each stage whose folder its files name: `run.json` lists its stages, and a spec may name
the model or the feedback of another run's stage by path. The files are searched as text, so that a
record of a newer halo protects its stages too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Set
from dataclasses import dataclass
from pathlib import Path

from halo_core.errors import DataError, VersionError
from halo_core.overview.run_entry import STAGES
from halo_core.workspace.layout import targets
from halo_core.workspace.records import (
    EVENTS,
    RESOLVED_SPEC,
    RUN,
    SPEC,
    STAGE,
    SUITE,
    SUITE_SPEC,
)

DATA_FOLDER = "data"
"""The folder of all rows in a workspace."""

_STAGE_NAME = re.compile(r"[\w.-]+-[0-9a-f]{16}")
_ROWS_KEY = re.compile(r"/([0-9a-f]{16})/")


@dataclass(frozen=True)
class Needs:
    """The needs of runs.

    Attributes:
        stages: Names of the folders of stages.
        rows: Names of the folders of rows.
        checkpoints: Names of the folders of stages whose checkpoints a spec names.
    """

    stages: Set[str]
    rows: Set[str]
    checkpoints: Set[str]


def needs(root: Path, *, without: Iterable[Path] = ()) -> Needs:
    """Returns what the runs and suites of a workspace need.

    Args:
        root: The workspace.
        without: Folders of runs and suites that do not count, because they will be removed.

    Raises:
        DataError: When the record of another run is damaged: what it needs is then not known.
    """
    left_out = set(without)
    text = "\n".join(
        _texts(target.folder) for target in targets(root) if target.folder not in left_out
    )
    known = stage_folders(root)
    named = set(_STAGE_NAME.findall(text)) & known.keys()
    checkpoints = {name for name in named if f"{name}/checkpoints" in text}
    rows: set[str] = set()
    waiting = list(named)
    while waiting:
        record = _read(known[waiting.pop()] / STAGE.name)
        rows |= set(_ROWS_KEY.findall(record))
        new = (set(_STAGE_NAME.findall(record)) & known.keys()) - named
        named |= new
        waiting += new
    return Needs(named, rows, checkpoints)


def stage_folders(root: Path) -> dict[str, Path]:
    """Returns the folders of all stages of a workspace by their names. Links are left out."""
    return {folder.name: folder for folder in folders_in(root / STAGES)}


def folders_in(place: Path) -> list[Path]:
    """Returns the folders in a folder, without links and hidden ones.

    If the folder itself is a link, it contains things of another place, so none are returned.
    """
    if place.is_symlink() or not place.is_dir():
        return []
    return sorted(
        path
        for path in place.iterdir()
        if not path.is_symlink() and path.is_dir() and not path.name.startswith(".")
    )


def rows_of(stages: Iterable[Path]) -> set[str]:
    """Returns the names of the folders with the rows of some stages."""
    return {key for stage in stages for key in _ROWS_KEY.findall(_read(stage / STAGE.name))}


def _texts(folder: Path) -> str:
    for record in (RUN, SUITE):
        try:
            record.read(folder)
        except VersionError:  # Its stages are found by their names all the same.
            continue
        except DataError as error:
            raise DataError(
                f"{error.message}. Until then, it is not known which stages {folder.name} needs, "
                f"so nothing is removed. halo runs rm {folder.name} removes this one",
                location=error.location,
            ) from error
    files = [RUN.name, SPEC, RESOLVED_SPEC, SUITE_SPEC]
    # The events name the stages that were begun.
    files += [] if (folder / RUN.name).exists() else [EVENTS.name]
    return "\n".join(_read(folder / name) for name in files)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return ""
