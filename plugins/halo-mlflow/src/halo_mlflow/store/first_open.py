"""A new database is whole or not there: it is made beside its place and renamed.

MLflow makes its tables by some seventy migrations, one after the other. A process that is killed in
between would leave a database that no MLflow opens or goes on with.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from halo_core.errors import DataError
from halo_core.workspace.files import put_in_place

BESIDE = ".making"
"""What is appended to a database's name while it is made."""

_COMPANIONS = ("-journal", "-wal", "-shm")
"""Files that SQLite keeps beside a database that is written."""

_OF_MIGRATIONS = frozenset({"alembic_version", "workspaces", "sqlite_sequence"})
"""Tables that hold rows before anything was tracked."""


def make_database(file: Path, artifacts: str) -> None:
    """Makes an MLflow database where there is none, or one that was never finished.

    One process at a time; nothing is done where there is one. It takes a third of the time that
    MLflow takes in place, since nothing waits for the disk before the end.

    Args:
        file: Where it will be.
        artifacts: Where the experiment that MLflow makes itself keeps its files.

    Raises:
        DataError: When a file is there that is no database.
    """
    if holds_rows(file):
        return
    beside = file.with_name(file.name + BESIDE)
    for remains in _with_companions(beside):
        remains.unlink(missing_ok=True)
    _make(beside, artifacts)
    # Else SQLite would play them back into the new one.
    for companion in _with_companions(file)[1:]:
        companion.unlink(missing_ok=True)
    put_in_place(beside, file)


def holds_rows(file: Path) -> bool:
    """Returns whether a database holds anything that would be lost with it.

    One that MLflow finished has an experiment at least. One that it began only, which halo made in
    place before and a killed `mlflow server` leaves, has tables without rows.

    Raises:
        DataError: When the file is no database.
    """
    if not file.exists():
        return False
    try:
        # Opened for writing, so that SQLite takes back what a killed process began.
        with closing(sqlite3.connect(file)) as connection:
            names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            tables = {str(name) for (name,) in names} - _OF_MIGRATIONS
            return any(_has_rows(connection, table) for table in sorted(tables))
    except sqlite3.OperationalError:
        return True  # Locked, say: somebody works with it.
    except sqlite3.DatabaseError as error:
        raise DataError(
            f"is no SQLite database ({error}); expected one that MLflow made. Put it back as it "
            "was, or move it away and send the runs again: halo sync RUN",
            location=str(file),
        ) from error


def _has_rows(connection: sqlite3.Connection, table: str) -> bool:
    name = table.replace('"', '""')
    return connection.execute(f'SELECT 1 FROM "{name}" LIMIT 1').fetchone() is not None


def _make(file: Path, artifacts: str) -> None:
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    with _without_waiting(file):
        store = SqlAlchemyStore(f"sqlite:///{file}", artifacts)  # type: ignore[no-untyped-call]
        store.engine.dispose()


@contextmanager
def _without_waiting(file: Path) -> Iterator[None]:
    """Lets SQLite leave it to the system when a database is written to the disk."""
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
