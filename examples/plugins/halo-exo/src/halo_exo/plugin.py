"""Registers the loss. It imports nothing heavy."""

from __future__ import annotations

from halo_core import Registrar, hookimpl


@hookimpl
def halo_register(registry: Registrar) -> None:
    """Registers the components of this package."""
    registry.loss("pair", "halo_exo.pair:Pair")
