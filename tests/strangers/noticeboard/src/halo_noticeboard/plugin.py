"""Registers the tracker; imports nothing heavy."""

from __future__ import annotations

from halo_core import Registrar, hookimpl


@hookimpl
def halo_register(registry: Registrar) -> None:
    """Registers the component of this package."""
    registry.tracker("board", "halo_noticeboard.board:Board")
