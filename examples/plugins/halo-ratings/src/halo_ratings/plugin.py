"""Registers the data source and the conversion. It imports nothing heavy."""

from __future__ import annotations

from halo_core import Registrar, hookimpl


@hookimpl
def halo_register(registry: Registrar) -> None:
    """Registers the components of this package."""
    registry.data("csv", "halo_ratings.rated_csv:RatedCsv")
    registry.data("best", "halo_ratings.best:Best", converts=("scored", "demonstration"))
