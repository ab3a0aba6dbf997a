"""Registers the reference point. It imports nothing heavy."""

from __future__ import annotations

from halo_core import Registrar, hookimpl


@hookimpl
def halo_register(registry: Registrar) -> None:
    """Registers the components of this package."""
    registry.reference_point("decayed", "halo_slow_median.decayed:Decayed")
