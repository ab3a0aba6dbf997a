"""The store that the pages show: a database itself, or a copy of one that cannot be written to.

MLflow's server writes to its database, and SQLite makes files next to it.
"""

from __future__ import annotations

import os
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from halo_core.errors import PathError
from halo_core.printing import say
from halo_core.workspace.database_files import check_files
from halo_core.workspace.databases import read_only, readable
from halo_core.workspace.disk import unwritable
from halo_mlflow.store.foreign_log import settle_log
from halo_mlflow.store.moved import correct_copy, follow_move
from halo_mlflow.store.safe_path import safe_path
from halo_mlflow.store.store import Store


@contextmanager
def servable(store: Store, workspace: Path) -> Iterator[tuple[Store, Path]]:
    """Yields a store that a server can write to, and the folder for the server's log.

    Args:
        store: The chosen store.
        workspace: The workspace. If it was moved, the paths in its database are corrected.

    Raises:
        PathError: When the database can neither be written to nor copied.
        DataError: When the paths cannot be corrected, or a log next to the database is foreign and
            cannot be moved.
    """
    if store.file is not None:
        check_files(store.file)
        settle_log(store.file, own=store.database is not None and _is_writable(store.file))
    if store.file is not None and not _is_writable(store.file):
        with tempfile.TemporaryDirectory(prefix="halo-ui-") as folder:
            yield _copied(store, store.file, workspace, Path(folder)), Path(folder)
        return
    if store.database is not None:
        follow_move(store.database, store.database.parent)
    workspace.mkdir(parents=True, exist_ok=True)
    if unwritable(workspace) is None:
        yield store, workspace.resolve()
        return
    with tempfile.TemporaryDirectory(prefix="halo-ui-") as folder:
        yield store, Path(folder)


def _is_writable(file: Path) -> bool:
    return os.access(file, os.W_OK) and unwritable(file.resolve().parent) is None


def _copied(store: Store, file: Path, workspace: Path, folder: Path) -> Store:
    copy = folder / file.name
    try:
        with (
            readable(file) as whole,
            closing(read_only(whole)) as source,
            closing(sqlite3.connect(copy)) as target,
        ):
            source.backup(target)
        if store.database is not None:
            correct_copy(copy, workspace.resolve())
    except (sqlite3.Error, OSError) as error:
        raise PathError(
            f"cannot be written to, and cannot be copied to {folder}: {error}. Give yourself the "
            "right to read it, make room there, or set TMPDIR to another folder",
            location=str(file),
        ) from error
    say(
        f"{file} cannot be written to, so the pages show a copy of it as it is now; changes "
        "on them are lost at the end",
        err=True,
    )
    return Store(f"sqlite:///{safe_path(copy)}", store.artifacts, copy)


__all__ = ["servable"]
