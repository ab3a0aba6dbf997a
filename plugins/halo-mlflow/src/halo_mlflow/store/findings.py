"""Facts for `halo doctor`: the version of MLflow and the store that the environment names."""

from __future__ import annotations

import importlib.metadata
import os

from halo_core.finding import Finding
from halo_core.uri_credentials import without_credentials
from halo_mlflow.store.store import URI_VARIABLE


def doctor_findings() -> list[Finding]:
    """Returns the facts. It does not import MLflow, which takes seconds."""
    try:
        found = [Finding("versions", "mlflow", importlib.metadata.version("mlflow"))]
    except importlib.metadata.PackageNotFoundError:
        problem = "the tracker mlflow needs it: pip install mlflow"
        found = [Finding("versions", "mlflow", "not installed", problem)]
    if uri := os.environ.get(URI_VARIABLE):
        found.append(Finding("environment", URI_VARIABLE, without_credentials(uri)))
    return found
