"""The stages and the rows that the runs of a workspace need, and that must not be removed.

A run needs each stage whose folder its files name: `run.json` lists its stages, and a spec may name
the model or the feedback of another run's stage by path. The files are searched as text, so that a
record of a newer halo protects its stages too.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from halo_core.errors import DataError, VersionError
from halo_core.overview.run_entry import STAGES
from halo_core.overview.spec_difference import spec_tree
from halo_core.workspace.layout import targets
from halo_core.workspace.records import (
    DATA,
    DONE,
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
    runs = [t.folder for t in targets(root) if t.kind == "run" and t.folder not in left_out]
    named = set(_STAGE_NAME.findall(text)) & known.keys()
    checkpoints = {name for name in named if f"{name}/checkpoints" in text}
    rows = _rows_of_unfinished(runs, known, root)
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


def _rows_of_unfinished(runs: Iterable[Path], known: Mapping[str, Path], root: Path) -> set[str]:
    """Returns the names of the folders with the rows of stages that runs have not begun yet.

    Such stages have no record. Their resolved specs name the sources, and so do the rows.
    """
    sources = {
        _plain(source)
        for run in runs
        if not _is_finished(run, known)
        for source in _sources(spec_tree(_read(run / RESOLVED_SPEC)))
    }
    found = set()
    for folder in folders_in(root / DATA_FOLDER) if sources else ():
        try:
            record = DATA.read(folder)
        except DataError:  # The rows are read again whatever happens.
            continue
        if record and _plain({**record["source"], "split": record["split"]}) in sources:
            found.add(folder.name)
    return found


def _is_finished(run: Path, known: Mapping[str, Path]) -> bool:
    names = _STAGE_NAME.findall(_read(run / RUN.name))
    return all(name in known and (known[name] / DONE.name).exists() for name in names)


def _sources(tree: Any) -> Iterator[Mapping[str, Any]]:
    """Yields all mappings of a resolved spec that name a split, as sources of data do."""
    if isinstance(tree, Mapping):
        if "split" in tree:
            yield tree
        tree = list(tree.values())
    if isinstance(tree, list):
        for value in tree:
            yield from _sources(value)


def _plain(source: Mapping[str, Any]) -> str:
    """Returns a source as text, without the part of it that a hold-out takes."""
    fields = {key: value for key, value in source.items() if key != "part"}
    return json.dumps(fields, sort_keys=True, default=str)


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
