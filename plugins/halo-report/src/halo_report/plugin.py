"""Registers the page of a run and the commands of halo-report; imports nothing heavy."""

from __future__ import annotations

from halo_core.hooks import hookimpl
from halo_core.plugins.registrar import Registrar


@hookimpl
def halo_register(registry: Registrar) -> None:
    """Registers the components of this distribution."""
    registry.report("html", "halo_report.options:Html", by_default=True)
    registry.command(
        "compare",
        "halo_report.commands.compare:compare",
        help="Compare runs in one table: intervals, paired tests, differences.",
    )
    registry.command(
        "inspect",
        "halo_report.commands.inspect:inspect",
        help="Show the value functions that losses assume people have.",
    )
    registry.command(
        "report",
        "halo_report.commands.report:report",
        help="Draw runs and suites on one page: figures, intervals and tests.",
    )
