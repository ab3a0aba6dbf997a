"""Where runs are kept: the spec's `uri`, else MLFLOW_TRACKING_URI, else SQLite in the workspace."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from halo_core.redact import redact

URI_VARIABLE = "MLFLOW_TRACKING_URI"
DATABASE = "mlflow.db"
ARTIFACTS = "mlartifacts"
_SQLITE = "sqlite:///"


@dataclass(frozen=True)
class Store:
    """A tracking store.

    Attributes:
        uri: With credentials, if it has any: never to be shown.
        artifacts: Where new experiments keep their files; None where a server decides.
    """

    uri: str = field(repr=False)
    artifacts: str | None

    @property
    def shown(self) -> str:
        """The URI without credentials."""
        return redact(self.uri)

    @property
    def is_server(self) -> bool:
        """Whether an MLflow server stands behind it."""
        return not self._is_database

    @property
    def file(self) -> Path | None:
        """The SQLite file; None for any other store."""
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
        uri: The option of the spec, which comes first.
        workspace: Holds the SQLite file and the artifacts of databases.
    """
    workspace = workspace.resolve()
    chosen = uri or os.environ.get(URI_VARIABLE) or f"{_SQLITE}{workspace / DATABASE}"
    if chosen.startswith(_SQLITE):
        # Relative to the current folder, as SQLAlchemy reads it, but for good.
        chosen = _SQLITE + str(Path(chosen.removeprefix(_SQLITE)).absolute())
    store = Store(chosen, (workspace / ARTIFACTS).as_uri())
    return Store(chosen, None) if store.is_server else store
