"""Registers the MLflow tracker and `halo ui`; imports nothing heavy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from halo_core.hooks import hookimpl
from halo_core.plugins.registrar import Registrar

if TYPE_CHECKING:
    from halo_core.finding import Finding


@hookimpl
def halo_register(registry: Registrar) -> None:
    """Registers the components of this distribution."""
    registry.tracker("mlflow", "halo_mlflow.options:MLflow")
    registry.command(
        "ui", "halo_mlflow.ui.command:ui", help="Start MLflow with the runs of this workspace."
    )


@hookimpl
def halo_doctor() -> list[Finding]:
    """Returns the version of MLflow, and the tracking server if the environment names one."""
    from halo_mlflow.store.findings import doctor_findings

    return doctor_findings()
