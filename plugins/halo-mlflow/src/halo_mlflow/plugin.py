"""Registers the MLflow tracker and `halo ui`; imports nothing heavy."""

from __future__ import annotations

from halo_core.hooks import hookimpl
from halo_core.plugins.registrar import Registrar


@hookimpl
def halo_register(registry: Registrar) -> None:
    """Registers the components of this distribution."""
    registry.tracker("mlflow", "halo_mlflow.options:MLflow")
    registry.command(
        "ui", "halo_mlflow.ui.command:ui", help="Open this workspace's runs in MLflow."
    )
