"""Creates a database next to its final place and renames it, so that it is never incomplete.

MLflow creates its tables in some seventy migrations, one after another. A process that is killed in
between would leave a database that MLflow can neither open nor continue.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from halo_core.workspace.files import put_in_place
from halo_mlflow.store.safe_path import safe_path
from halo_mlflow.store.schema import not_a_database

BESIDE = ".making"
"""Suffix of a database's name during its creation."""

_COMPANIONS = ("-journal", "-wal", "-shm")
"""Endings of the files that SQLite keeps next to a database while it writes."""

_OF_MIGRATIONS = frozenset({"alembic_version", "workspaces", "sqlite_sequence"})
"""Tables that have rows before anything is tracked."""


def make_database(file: Path, artifacts: str) -> None:
    """Creates an MLflow database if there is none, or if the existing one was never finished.

    One process does this at a time. It does nothing if a finished database exists. It takes a third
    of the time that MLflow itself takes, because nothing waits for the disk before the end.

    Args:
        file: Path of the database.
        artifacts: Folder for the files of MLflow's default experiment.

    Raises:
        DataError: When a file exists that is not a database.
    """
    if holds_rows(file):
        return
    beside = file.with_name(file.name + BESIDE)
    for remains in _with_companions(beside):
        remains.unlink(missing_ok=True)
    _make(beside, artifacts)
    # Otherwise SQLite would replay them into the new database.
    for companion in _with_companions(file)[1:]:
        companion.unlink(missing_ok=True)
    put_in_place(beside, file)


def holds_rows(file: Path) -> bool:
    """Returns whether a database has data that would be lost with it.

    A finished database has at least one experiment. An unfinished one, which earlier versions of
    halo and a killed `mlflow server` leave, has tables without rows.

    Raises:
        DataError: When the file is not a database.
    """
    if not file.exists():
        return False
    try:
        # Opened for writing, so that SQLite rolls back the changes of a killed process.
        with closing(sqlite3.connect(file)) as connection:
            names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            tables = {str(name) for (name,) in names} - _OF_MIGRATIONS
            return any(_has_rows(connection, table) for table in sorted(tables))
    except sqlite3.OperationalError:
        return True  # For example locked, because another process uses it.
    except sqlite3.DatabaseError as error:
        raise not_a_database(file, error) from error


def _has_rows(connection: sqlite3.Connection, table: str) -> bool:
    name = table.replace('"', '""')
    return connection.execute(f'SELECT 1 FROM "{name}" LIMIT 1').fetchone() is not None


def _make(file: Path, artifacts: str) -> None:
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    with _without_waiting(file):
        store = SqlAlchemyStore(f"sqlite:///{safe_path(file)}", artifacts)  # type: ignore[no-untyped-call]
        store.engine.dispose()


@contextmanager
def _without_waiting(file: Path) -> Iterator[None]:
    """Lets the operating system decide when SQLite's data are written to the disk."""
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    def connected(connection: Any, record: Any) -> None:
        opened = connection.execute("PRAGMA database_list").fetchone()[2]
        if opened and os.path.samefile(opened, file):
            connection.execute("PRAGMA synchronous = OFF")
            connection.execute("PRAGMA journal_mode = MEMORY")

    event.listen(Engine, "connect", connected)
    try:
        yield
    finally:
        event.remove(Engine, "connect", connected)


def _with_companions(file: Path) -> list[Path]:
    return [file, *(file.with_name(file.name + suffix) for suffix in _COMPANIONS)]
