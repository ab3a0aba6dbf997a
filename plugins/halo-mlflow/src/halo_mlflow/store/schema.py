"""Migrates a database whose tables are of an older MLflow, or names the command that does it."""

from __future__ import annotations

import importlib.util
import logging
import os
import re
import shlex
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

from halo_core.errors import DataError
from halo_mlflow.store.moved import copy_database

OTHER_SCHEMA = "database schema (found version"
"""Words of MLflow's error for tables of another version, older or newer."""
LAST_CHARACTERS = 300
_MIGRATIONS = Path("store", "db_migrations", "versions")
_REVISION = re.compile(r"""^revision = ["'](\w+)["']""", re.M)
_EARLIER = re.compile(r"""^down_revision = ["'](\w+)["']""", re.M)

log = logging.getLogger("halo_mlflow")


def not_a_database(file: Path, error: sqlite3.DatabaseError) -> DataError:
    """Returns the error for a file that SQLite cannot read.

    Args:
        file: The file.
        error: SQLite's error.
    """
    return DataError(
        f"is not a SQLite database ({error}); expected one that MLflow created. Restore it, or "
        "move it away and send the runs again: halo sync RUN",
        location=str(file),
    )


def refused_schema(shown: str) -> DataError:
    """Returns the error for a database that halo does not migrate, because others may use it.

    Args:
        shown: The URI of the database, without credentials.
    """
    return DataError(
        "its tables are of another version of MLflow. If that is older, make a copy of the "
        f"database, then: mlflow db upgrade {shlex.quote(shown)}. If it is newer: "
        "pip install --upgrade mlflow",
        location=shown,
    )


def is_current(file: Path) -> bool:
    """Returns whether a database has the tables of the installed MLflow, for sure.

    Importing MLflow takes seconds, so its migrations are read as texts. If they cannot be read, the
    answer is no.

    Raises:
        DataError: When the file is not a database.
    """
    found = importlib.util.find_spec("mlflow")
    folder = Path(found.origin).parent / _MIGRATIONS if found and found.origin else None
    if folder is None or not folder.is_dir():
        return False
    texts = [path.read_text(encoding="utf-8") for path in folder.glob("*.py")]
    revisions = {match[1] for text in texts if (match := _REVISION.search(text))}
    earlier = {match[1] for text in texts if (match := _EARLIER.search(text))}
    return revisions - earlier == {_revision(file)}


def settle_schema(file: Path, uri: str, *, own: bool) -> None:
    """Makes sure that a database has this MLflow's tables. A copy of an older one is kept.

    Args:
        file: The SQLite file.
        uri: Its URI.
        own: Whether it is the database of a workspace. Others are not migrated.

    Raises:
        DataError: When a newer MLflow made it, it is not the workspace's, or the migration fails.
    """
    from mlflow.store.db.utils import _get_latest_schema_revision

    revision = _revision(file)
    if revision is None or revision == _get_latest_schema_revision():  # type: ignore[no-untyped-call]
        return
    if not own:
        raise refused_schema(f"sqlite:///{file}")
    _migrate(file, uri, revision)


def _migrate(file: Path, uri: str, revision: str) -> None:
    import mlflow

    if not _is_known(revision, uri):
        raise DataError(
            f"a newer MLflow made it: MLflow {mlflow.__version__} does not know its schema "
            f"{revision}. Nothing was changed. Update MLflow: pip install --upgrade mlflow",
            location=str(file),
        )
    kept = file.with_name(f"{file.name}.schema-{revision}")
    copy_database(file, kept)
    command = [sys.executable, "-m", "mlflow", "db", "upgrade", uri]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true"},
    )
    if done.returncode:
        raise DataError(
            f"an older MLflow made it, and it cannot be migrated: "
            f"{done.stderr.strip()[-LAST_CHARACTERS:]}. {kept} is a copy of it as it was",
            location=str(file),
        )
    log.warning(
        "mlflow: %s was made by an older MLflow; it was migrated to MLflow %s, and %s is a copy "
        "of it as it was",
        file,
        mlflow.__version__,
        kept.name,
    )


def _revision(file: Path) -> str | None:
    """Returns the version of a database's tables; None if MLflow did not make them.

    Raises:
        DataError: When the file is not a database.
    """
    try:
        with closing(sqlite3.connect(file)) as connection:
            row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    except sqlite3.OperationalError:
        return None
    except sqlite3.DatabaseError as error:
        raise not_a_database(file, error) from error
    return str(row[0]) if row else None


def _is_known(revision: str, uri: str) -> bool:
    from alembic.script import ScriptDirectory
    from alembic.util import CommandError
    from mlflow.store.db.utils import _get_alembic_config

    try:
        config = _get_alembic_config(uri)  # type: ignore[no-untyped-call]
        scripts = ScriptDirectory.from_config(config)
        return scripts.get_revision(revision) is not None
    except CommandError:
        return False
