"""Corrects the paths in a workspace's records and its MLflow database after it was moved or copied.

MLflow stores the full path of each artifact folder. The first experiment, which MLflow makes with
the database, says where the workspace was.
"""

from __future__ import annotations

import logging
import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from filelock import FileLock

from halo_core.errors import DataError, PathError
from halo_core.hashing import short_hash
from halo_core.workspace.files import read_json, write_json
from halo_core.workspace.records import RUN, SUITE

ARTIFACTS = "mlartifacts"
STATE_FILE = "mlflow.json"
LOCK_LIMIT_S = 120.0
BUSY_LIMIT_S = 20.0
"""Seconds to wait for a server that writes at this moment."""

_LOCATIONS = (
    ("experiments", "artifact_location", "1"),
    ("runs", "artifact_uri", "1"),
    ("logged_models", "artifact_location", "1"),
    ("model_versions", "source", "1"),
    ("model_versions", "storage_location", "1"),
    ("trace_tags", "value", "key = 'mlflow.artifactLocation'"),
)
"""Columns of MLflow with addresses of artifacts: table, column, condition."""
_PATHS = (
    ("tags", "value", "key = 'halo.run_dir'"),
    ("logged_model_tags", "tag_value", "tag_key = 'halo.folder'"),
)
"""Tags of halo with paths."""

log = logging.getLogger("halo_mlflow")


@dataclass(frozen=True)
class Move:
    """A move of a workspace.

    Attributes:
        old: The folder where it was.
        new: The folder where it is.
        database: The name of its database.
    """

    old: Path
    new: Path
    database: str


def follow_move(file: Path, workspace: Path) -> None:
    """Corrects all paths if the workspace was elsewhere when they were written.

    Everything is corrected or nothing. A copy of the database is kept.

    If a folder is mounted under two paths of which a machine sees only one at a time, it looks like
    a move at each change, and MLflow can use only one of the paths. The copy of an earlier
    correction shows this, and a warning says to keep to one path.

    Args:
        file: The SQLite file of the workspace.
        workspace: The workspace, without links.

    Raises:
        DataError: When the database cannot be corrected.
    """
    if _old_place(file, workspace) is None:
        return
    with FileLock(f"{file}.lock", timeout=LOCK_LIMIT_S):
        old = _old_place(file, workspace)
        if old is None:  # Another process was faster.
            return
        kept, again = _kept(file, old), _kept(file, workspace).exists()
        try:
            if not (again and kept.exists()):
                copy_database(file, kept)
            with _changing(file) as connection:
                changed = _correct(connection, Move(old, workspace, file.name))
                _correct_records(Move(old, workspace, file.name))
        except (sqlite3.Error, OSError) as error:
            raise DataError(
                f"the workspace was at {old}, and the paths in its database cannot be corrected: "
                f"{error}. End what uses the database, such as halo ui, and try again",
                location=str(file),
            ) from error
    if again:
        log.warning(
            "mlflow: this workspace is at %s again, after %s; if these are two paths of one "
            "folder, such as inside and outside of a container, use only one of them, because %d "
            "paths in the database change each time",
            workspace,
            old,
            changed,
        )
        return
    log.warning(
        "mlflow: this workspace was at %s; %d paths in %s were corrected, and %s is a copy of "
        "the database as it was",
        old,
        changed,
        file,
        kept.name,
    )


def correct_copy(copy: Path, workspace: Path) -> None:
    """Corrects the paths in a copy of a workspace's database. The records stay as they are.

    Args:
        copy: The copy, which nobody else uses.
        workspace: The workspace, without links.

    Raises:
        sqlite3.Error: When the copy cannot be changed.
    """
    old = _old_place(copy, workspace)
    if old is not None:
        with _changing(copy) as connection:
            _correct(connection, Move(old, workspace, copy.name))


def _kept(file: Path, place: Path) -> Path:
    """Returns the copy of the database of a workspace that was at a place."""
    return file.with_name(f"{file.name}.of-{short_hash(str(place), 8)}")


def copy_database(file: Path, copy: Path) -> None:
    """Copies a SQLite file as a whole, also while others write to it.

    Raises:
        sqlite3.Error: When it cannot be read, or the copy cannot be written.
    """
    copy.unlink(missing_ok=True)
    with closing(_opened(file)) as source, closing(_opened(copy)) as target:
        source.backup(target)


def _opened(file: Path) -> sqlite3.Connection:
    return sqlite3.connect(file, timeout=BUSY_LIMIT_S, isolation_level=None)


def _old_place(file: Path, workspace: Path) -> Path | None:
    """Returns where a workspace was when its database was made; None if that was here."""
    if not file.is_file():
        return None
    try:
        with closing(_opened(file)) as connection:
            row = connection.execute(
                "SELECT artifact_location FROM experiments WHERE experiment_id = 0"
            ).fetchone()
    except sqlite3.Error:
        return None  # MLflow says what is wrong with it.
    root = _root(str(row[0])) if row else None
    if root is None or root == workspace:
        return None
    # The database may keep its files in another folder on purpose. They did not move.
    if (root / ARTIFACTS).is_dir() and not (workspace / ARTIFACTS).is_dir():
        return None
    # The same folder may have two paths, in a container for example. Then both are right.
    there = root / file.name
    return None if there.exists() and there.samefile(file) else root


def _root(location: str) -> Path | None:
    """Returns the workspace of an address ``file://<workspace>/mlartifacts/0``."""
    path = Path(unquote(location.removeprefix("file://")))
    return path.parent.parent if path.parent.name == ARTIFACTS and path.is_absolute() else None


@contextmanager
def _changing(file: Path) -> Iterator[sqlite3.Connection]:
    with closing(_opened(file)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield connection
        except BaseException:
            connection.execute("ROLLBACK")
            raise
        connection.execute("COMMIT")


def _correct(connection: sqlite3.Connection, move: Move) -> int:
    """Replaces the old folder in the database, and returns the number of values that changed."""
    as_uri = (move.old.as_uri(), move.new.as_uri())
    as_path = (str(move.old), str(move.new))
    changed = 0
    for columns, (old, new) in ((_LOCATIONS, as_uri), (_LOCATIONS, as_path), (_PATHS, as_path)):
        for table, column, condition in columns:
            if column in _columns(connection, table):
                changed += connection.execute(
                    f"UPDATE {table} SET {column} = ? || substr({column}, ?) "
                    f"WHERE {condition} AND substr({column}, 1, ?) = ?",
                    (f"{new}/", len(old) + 2, len(old) + 1, f"{old}/"),
                ).rowcount
    return changed


def _columns(connection: sqlite3.Connection, table: str) -> set[str]:
    return {str(row[1]) for row in connection.execute(f"PRAGMA table_info({table})")}


def _correct_records(move: Move) -> None:
    """Replaces the address of the database in the records of runs and suites.

    A second call changes nothing. So the database is committed after it.
    """
    for folder in (*move.new.glob("runs/*"), *move.new.glob("suites/*")):
        if (folder / STATE_FILE).is_file():
            _correct_state(folder / STATE_FILE, move)
        for file in (RUN, SUITE):
            if (folder / file.name).is_file():
                _correct_trackers(file, folder, move)


def _addresses(move: Move) -> tuple[str, str]:
    return f"sqlite:///{move.old / move.database}", f"sqlite:///{move.new / move.database}"


def _correct_state(path: Path, move: Move) -> None:
    old, new = _addresses(move)
    try:
        record = read_json(path)
        stores = record["stores"]
        if old in stores:
            # A run that was sent from both places keeps what it was sent from here.
            record["stores"] = {new: stores.pop(old), **stores}
            write_json(path, record)
    except (DataError, TypeError, KeyError, AttributeError):
        return  # A damaged record counts as lost, and the run is found by its tags.


def _correct_trackers(file: Any, folder: Path, move: Move) -> None:
    old, new = _addresses(move)
    try:
        record = file.read(folder)
    except (DataError, PathError):
        return
    trackers = {n: _corrected(about, old, new) for n, about in record.get("trackers", {}).items()}
    if trackers != record.get("trackers", {}):
        file.write(folder, {**record, "trackers": trackers})


def _corrected(about: Mapping[str, Any], old: str, new: str) -> dict[str, Any]:
    folders = [os.path.dirname(address.removeprefix("sqlite:///")) for address in (old, new)]
    corrected = {key: new if value == old else value for key, value in about.items()}
    if about.get("store") == old and isinstance(about.get("ui"), str):
        corrected["ui"] = about["ui"].replace(*folders)
    return corrected
