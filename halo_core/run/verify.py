"""Reads all files of a run or of a whole workspace, and finds damaged ones."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from halo_core.errors import DataError, PathError
from halo_core.workspace.check_values import CHECKPOINT_PREFIX, CHECKPOINTS, damages
from halo_core.workspace.database_files import LOG, beside
from halo_core.workspace.database_log import FOREIGN, log_fault
from halo_core.workspace.databases import damage_of
from halo_core.workspace.disk import path_problem
from halo_core.workspace.files import CHECK, object_check
from halo_core.workspace.formats import LineFile, ObjectFile
from halo_core.workspace.layout import Workspace
from halo_core.workspace.records import (
    CHECKPOINT,
    DATA,
    DONE,
    EVENTS,
    PARTIAL_SAMPLES,
    RUN,
    SCORES,
    STAGE,
    SUITE,
    TITLE,
    VERDICTS,
)

AGAIN = "the next run that uses it computes the stage again"
WRITTEN_AGAIN = "the next halo run of this run writes it again"
LEFT_OUT = "a run that takes the stage from the store lacks them; --again computes the stage again"
READ_AGAIN = "the next run that uses it reads the rows again"
BEFORE = "the next run of its stage sets it aside and continues from the checkpoint before"
REPLACED = "what opens it next says what can be saved of it; put a copy back if you have one"
REPLACED_LOG = "what opens the database next keeps a copy of the log and says what is lost"
TOKENISED_AGAIN = "the next run that uses it tokenises the rows again"


@dataclass(frozen=True)
class Damage:
    """A file that differs from what was written.

    Attributes:
        path: The file.
        what: The problem.
        next: The consequence, or advice.
    """

    path: str
    what: str
    next: str


@dataclass
class Verified:
    """The result of a verification.

    Attributes:
        files: Number of files that were read and compared.
        damaged: Files that differ from what was written.
        unchecked: Folders whose files have no check values, because an older halo wrote them.
    """

    files: int = 0
    damaged: list[Damage] = field(default_factory=list)
    unchecked: list[str] = field(default_factory=list)


def verify_run(folder: Path, workspace: Workspace) -> Verified:
    """Reads a run's records and events, its stages with their checkpoints, and their rows."""
    verified = Verified()
    record = _verify_run_files(folder, verified)
    stages = [workspace.root / stage["folder"] for stage in (record or {}).get("stages", [])]
    _verify_stages([stage for stage in stages if stage.is_dir()], verified)
    for stage in stages:
        _verify_databases(stage, verified)
    return verified


def verify_all(workspace: Workspace) -> Verified:
    """Reads everything in a workspace: all runs and suites, stages, rows and tokens."""
    verified = Verified()
    for folder in _folders(workspace.root / "runs"):
        _verify_run_files(folder, verified)
    for folder in _folders(workspace.root / "suites"):
        _read(lambda folder=folder: SUITE.read(folder), verified)
        _read_title(folder, verified)
    stages = _folders(workspace.root / "stages")
    _verify_stages(stages, verified)
    rows = {folder for stage in stages for folder in _rows_of(stage)}
    for folder in _folders(workspace.root / "data"):
        if folder not in rows:
            _verify_folder(folder, DATA, READ_AGAIN, verified)
    for folder in _folders(workspace.cache / "tokens"):
        verified.files += 1
        _verify_files(folder, "counts.json", TOKENISED_AGAIN, verified)
    _verify_databases(workspace.root, verified)
    return verified


def _verify_run_files(folder: Path, verified: Verified) -> Any:
    """Reads a run's record and events, and compares its specs with their check values."""
    record = _read(lambda: RUN.read(folder), verified)
    _read_title(folder, verified)
    stages = [folder.parent.parent / stage["folder"] for stage in (record or {}).get("stages", [])]
    begun = any((stage / DONE.name).exists() for stage in stages)
    _read_events(folder, WRITTEN_AGAIN, verified, begun=begun)
    if record is not None:
        _verify_files(folder, RUN.name, WRITTEN_AGAIN, verified)
    return record


def _verify_stages(stages: Iterable[Path], verified: Verified) -> None:
    rows: dict[Path, None] = {}
    for folder in stages:
        _read(lambda folder=folder: STAGE.read(folder), verified)
        finished = (folder / DONE.name).exists()
        _read_events(folder, LEFT_OUT, verified, begun=finished)
        rows |= dict.fromkeys(_rows_of(folder))
        if finished:
            _verify_folder(folder, DONE, AGAIN, verified)
        else:
            for lines in (PARTIAL_SAMPLES, VERDICTS, SCORES):
                _read_lines(lines, folder / lines.name, verified)
        for checkpoint in _folders(folder / CHECKPOINTS):
            if checkpoint.name.startswith(CHECKPOINT_PREFIX):
                _verify_checkpoint(checkpoint, verified)
    for folder in rows:
        if folder.is_dir():
            _verify_folder(folder, DATA, READ_AGAIN, verified)


def _verify_checkpoint(folder: Path, verified: Verified) -> None:
    found = Verified()
    if (folder / CHECKPOINT.name).exists():
        _verify_folder(folder, CHECKPOINT, BEFORE, found)
    else:
        found.damaged.append(Damage(str(folder / CHECKPOINT.name), "is gone", BEFORE))
    # A training that runs at the same time may have removed it.
    if folder.exists():
        verified.files += found.files
        verified.damaged += found.damaged
        verified.unchecked += found.unchecked


def _rows_of(stage: Path) -> list[Path]:
    """Returns the folders of a stage's rows."""
    try:
        record: Any = STAGE.read(stage)
    except (DataError, OSError):  # `_verify_stages` has reported it.
        return []
    sets = ({} if record is None else record).get("data", {}).values()
    return [Path(file).parent for data in sets for file in data["files"]]


def _verify_folder(folder: Path, record: ObjectFile[Any], then: str, verified: Verified) -> None:
    """Reads one of a folder's records, and compares the files with the check values in it."""
    known = len(verified.damaged)
    _read(lambda: record.read(folder), verified)
    if len(verified.damaged) == known:
        _verify_files(folder, record.name, then, verified)


def _verify_files(folder: Path, record: str, then: str, verified: Verified) -> None:
    """Compares the files of a folder with the check values in one of its records."""
    try:
        tree: Any = json.loads((folder / record).read_text(encoding="utf-8"))
        checks: Mapping[str, Any] = tree.get("files", {})
        changed = CHECK in tree and tree.pop(CHECK) != object_check(tree)
        found = damages(folder, checks, read_all=True)
    except (OSError, ValueError, AttributeError, KeyError, TypeError, RecursionError) as error:
        what = f"cannot be read: {type(error).__name__}"
        verified.damaged.append(Damage(str(folder / record), what, then))
        return
    if changed:
        what = "is not what halo wrote: its check value is another"
        verified.damaged.append(Damage(str(folder / record), what, then))
    if not checks:
        verified.unchecked.append(str(folder))
    verified.files += len(checks)
    verified.damaged += [Damage(str(folder / name), what, then) for name, what in found.items()]


def _verify_databases(folder: Path, verified: Verified) -> None:
    """Checks all SQLite files in a folder, and whether files of which a record exists are missing.

    Raises:
        PathError: When one cannot be read for another reason than damage.
    """
    trash = Workspace(folder).trash
    for path in sorted(file for ending in ("db", "sqlite") for file in folder.rglob(f"*.{ending}")):
        if path.is_relative_to(trash):
            continue
        verified.files += 1
        try:
            # Before the database is opened, because SQLite makes the index of the log again.
            fault = log_fault(path)
            # With the log of another database, nothing can be said about this one.
            found = None if fault and fault.startswith(FOREIGN) else damage_of(path)
        except sqlite3.Error as error:
            raise PathError(f"cannot be read: {error}", location=str(path)) from error
        if fault:
            verified.damaged.append(Damage(str(beside(path, LOG)), fault, REPLACED_LOG))
        if found:
            verified.damaged.append(Damage(str(path), found, REPLACED))
    for record in sorted(folder.rglob("*.sqlite.json")):
        path = record.with_suffix("")
        if not path.exists() and not path.is_relative_to(trash):
            verified.damaged.append(Damage(str(path), "is gone", REPLACED))


def _read(read: Any, verified: Verified) -> Any:
    """Reads a record. An error in it counts as damage, and its message has the advice."""
    verified.files += 1
    try:
        return read()
    except DataError as error:
        what, _, mend = error.message.rpartition(". ")
        verified.damaged.append(Damage(str(error.location), what or error.message, mend))
    except OSError as error:
        message, path = path_problem(error) or ("", None)
        if path is None:
            raise
        what, _, mend = message.rpartition(". ")
        verified.damaged.append(Damage(path, what or message, mend))
    return None


def _read_events(folder: Path, then: str, verified: Verified, *, begun: bool) -> None:
    """Reads the events of a run or stage, and finds out whether all are lost.

    Args:
        folder: The folder of the run or stage.
        then: The consequence of lost events, for the message.
        verified: The result so far.
        begun: Whether the folder must contain events, because a stage is done.
    """
    path = folder / EVENTS.name
    known = len(verified.damaged)
    found = _read_lines(EVENTS, path, verified)
    if begun and not found and len(verified.damaged) == known:
        what = "contains no event" if path.exists() else "is gone"
        verified.damaged.append(Damage(str(path), what, then))


def _read_title(folder: Path, verified: Verified) -> None:
    if (folder / TITLE.name).exists():
        _read(lambda: TITLE.read(folder), verified)


def _read_lines(file: LineFile[Any], path: Path, verified: Verified) -> Any:
    return _read(lambda: list(file.read(path)), verified) if path.exists() else None


def _folders(folder: Path) -> list[Path]:
    paths: Iterator[Path] = folder.iterdir() if folder.is_dir() else iter(())
    return sorted(path for path in paths if path.is_dir() and not path.name.startswith("."))
