"""Connects to a store: short time-outs, no retries inside, and no chatter."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING

from filelock import FileLock

from halo_mlflow.store import Store

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

FIRST_OPEN_LIMIT_S = 120.0


def connect(store: Store, *, timeout_s: int) -> MlflowClient:
    """Returns a client of a store, which is there and of this MLflow's schema afterwards.

    The first to open a SQLite file creates its tables; the others wait for it.

    Args:
        store: Where.
        timeout_s: Seconds to wait for one answer of a server.
    """
    _set_environment(timeout_s)
    from mlflow import MlflowClient

    logging.getLogger("alembic").setLevel(logging.ERROR)
    if store.file is None:
        return MlflowClient(store.uri, registry_uri=store.uri)
    store.file.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{store.file}.lock", timeout=FIRST_OPEN_LIMIT_S):
        client = MlflowClient(store.uri, registry_uri=store.uri)
        client.search_experiments(max_results=1)
    return client


def _set_environment(timeout_s: int) -> None:
    """Sets what MLflow reads when it is imported or asked; what the user set stays."""
    # Retries are the caller's: MLflow's own would block for minutes.
    os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] = "0"
    os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] = str(timeout_s)
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "CRITICAL")
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")


def http_status(error: MlflowException) -> int:
    """Returns the HTTP status that an error has, or would have if a server had been asked."""
    return int(error.get_http_status_code())  # type: ignore[no-untyped-call]
