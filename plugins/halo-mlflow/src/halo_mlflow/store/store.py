"""Chooses the MLflow store that runs are tracked in, and connects to it."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock

from halo_core.uri_credentials import encoded, without_credentials
from halo_core.workspace.database_files import check_files
from halo_mlflow.store.first_open import make_database
from halo_mlflow.store.foreign_log import settle_log
from halo_mlflow.store.moved import follow_move
from halo_mlflow.store.safe_path import check_length, safe_path
from halo_mlflow.store.schema import OTHER_SCHEMA, refused_schema, settle_schema

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException


URI_VARIABLE = "MLFLOW_TRACKING_URI"
USER_VARIABLE, PASSWORD_VARIABLE = "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"
TOKEN_VARIABLE = "MLFLOW_TRACKING_TOKEN"
DATABASE = "mlflow.db"
ARTIFACTS = "mlartifacts"
_SQLITE = "sqlite:///"
_REFUSED = ("PERMISSION_DENIED", "ENDPOINT_NOT_FOUND", "NOT_FOUND", "NOT_IMPLEMENTED")


@dataclass(frozen=True)
class Store:
    """A tracking store.

    Attributes:
        uri: The URI with its credentials, if any. It must never be shown.
        artifacts: Folder for the files of new experiments; None if a server decides.
        database: The SQLite file of the workspace itself; None for any other store.
    """

    uri: str = field(repr=False)
    artifacts: str | None
    database: Path | None = None

    @property
    def shown(self) -> str:
        """The URI without credentials, and with the plain path of the workspace's database."""
        return f"{_SQLITE}{self.database}" if self.database else without_credentials(self.uri)

    @property
    def is_server(self) -> bool:
        """Whether the store is an MLflow server."""
        return not self._is_database

    @property
    def file(self) -> Path | None:
        """The SQLite file of the store; None for any other store."""
        if self.database is not None:
            return self.database
        return Path(self.uri.removeprefix(_SQLITE)) if self.uri.startswith(_SQLITE) else None

    @property
    def _is_database(self) -> bool:
        return self.uri.partition(":")[0].partition("+")[0] in (
            "sqlite",
            "postgresql",
            "mysql",
            "mssql",
        )


def choose_store(uri: str | None, workspace: Path) -> Store:
    """Returns the store to use.

    Args:
        uri: The option in the spec, which takes precedence.
        workspace: The folder of the SQLite file and of the artifacts of databases.
    """
    workspace = workspace.resolve()
    artifacts = (workspace / ARTIFACTS).as_uri()
    chosen = uri or os.environ.get(URI_VARIABLE)
    if not chosen:
        own = workspace / DATABASE
        return Store(f"{_SQLITE}{safe_path(own)}", artifacts, own)
    if chosen.startswith(_SQLITE):
        # The path is made absolute: SQLAlchemy reads it relative to the current folder.
        absolute = Path(chosen.removeprefix(_SQLITE)).absolute()
        chosen = f"{_SQLITE}{absolute}"
        if absolute == workspace / DATABASE:
            return Store(f"{_SQLITE}{safe_path(absolute)}", artifacts, absolute)
    store = Store(encoded(chosen), artifacts)
    return Store(store.uri, None) if store.is_server else store


def settled_store(uri: str | None, workspace: Path) -> Store:
    """Returns `choose_store`, and corrects the records of a workspace that was moved or copied.

    Raises:
        DataError: When they cannot be corrected.
        PathError: When something else than a file is in the place of the database or its journal.
    """
    store = choose_store(uri, workspace)
    if store.database is not None:
        check_files(store.database)
        settle_log(store.database, own=True)
        follow_move(store.database, store.database.parent)
    return store


FIRST_OPEN_LIMIT_S = 120.0


def connect(store: Store, *, timeout_s: int) -> MlflowClient:
    """Returns a client of a store, and makes sure the store exists with this MLflow's schema.

    The first process that opens a SQLite file creates it; the others wait.

    Args:
        store: The store.
        timeout_s: Seconds to wait for each answer of a server.

    Raises:
        DataError: When the SQLite file is not a database, or is of another version of MLflow and
            cannot be migrated.
        PathError: When its path is too long for SQLite, or something else than a file is in its
            place or in that of a file that SQLite keeps next to it.
    """
    # This comes before the import, because MLflow reads its environment when it is loaded.
    _set_environment(timeout_s)

    logging.getLogger("alembic").setLevel(logging.ERROR)
    if store.file is None:
        return _opened(store)
    check_length(store.file)
    check_files(store.file)
    settle_log(store.file, own=store.database is not None)
    store.file.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{store.file}.lock", timeout=FIRST_OPEN_LIMIT_S):
        make_database(store.file, store.artifacts or "")
        # Before MLflow opens it, because it migrates some older databases without a copy.
        settle_schema(store.file, store.uri, own=store.database is not None)
        return _opened(store)


def _opened(store: Store) -> MlflowClient:
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    client = MlflowClient(store.uri, registry_uri=store.uri)
    if store.is_server:
        return client
    try:
        client.search_experiments(max_results=1)
    except MlflowException as error:
        if OTHER_SCHEMA in str(error):
            raise refused_schema(store.shown) from None
        raise
    return client


def _set_environment(timeout_s: int) -> None:
    """Sets environment variables that MLflow reads, except those that the user has set."""
    # The caller retries, because MLflow's own retries would block for minutes.
    os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] = "0"
    os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] = str(timeout_s)
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "CRITICAL")
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")


def http_status(error: MlflowException) -> int:
    """Returns the HTTP status of an error, also for a store without a server."""
    return int(error.get_http_status_code())  # type: ignore[no-untyped-call]


def is_refused(error: Exception) -> bool:
    """Returns whether a server does not let this user make a call, or does not know the call.

    A server that knows less than MLflow, or that lets each user see only some experiments, answers
    so to calls that halo can do without. A server that wants credentials refuses all calls, and is
    not meant.
    """
    from mlflow.exceptions import MlflowException

    if not isinstance(error, MlflowException):
        return False
    # MLflow has no code for status 405 and calls it an internal error.
    return error.error_code in _REFUSED or "failed with error code 405" in str(error)
