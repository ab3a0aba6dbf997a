"""Registers the stage; imports nothing heavy."""

from __future__ import annotations

from halo_core import Registrar, hookimpl


@hookimpl
def halo_register(registry: Registrar) -> None:
    """Registers the component of this package."""
    registry.stage("drill", "halo_drill.stage:Drill")
