"""Registers the reference point; imports nothing heavy."""

from __future__ import annotations

from halo_core import Registrar, hookimpl


@hookimpl
def halo_register(registry: Registrar) -> None:
    """Registers the reference point of this package."""
    registry.reference_point("median", "halo_median.median:Median")
