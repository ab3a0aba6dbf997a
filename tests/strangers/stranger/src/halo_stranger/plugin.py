"""Registers the components. It imports nothing heavy."""

from __future__ import annotations

from halo_core import Registrar, hookimpl


@hookimpl
def halo_register(registry: Registrar) -> None:
    """Registers the components of this package."""
    registry.loss("hinge", "halo_stranger.hinge:Hinge")
    registry.data("greetings", "halo_stranger.greetings:Greetings")
