"""Registers the wrapper; imports nothing heavy."""

from __future__ import annotations

from halo_core import Registrar, hookimpl


@hookimpl
def halo_register(registry: Registrar) -> None:
    """Registers the loss of this package."""
    registry.loss("flooding", "halo_flooding.flooding:Flooding")
