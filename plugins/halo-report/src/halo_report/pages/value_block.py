"""The block of the value functions that the losses of one or more runs declare."""

from __future__ import annotations

from collections.abc import Sequence

from halo_core.errors import HaloError
from halo_report.figures.value_curves import value_plots
from halo_report.pages.page_parts import PageBlock
from halo_report.values.declared import run_values

TITLE = "What the losses assume about people"
NOTE = (
    "The value functions that the losses declare. Gains are in reward units (beta times nats). In "
    "grey, the value function of Tversky and Kahneman (1992). To check them: halo inspect LOSS"
)


def value_block(resolved_specs: Sequence[str], *, folded: bool = True) -> PageBlock | None:
    """Returns the block of the losses' value functions; None if no loss declares one.

    If a plugin is missing or broken, the block says so in place of the figures.

    Args:
        resolved_specs: The texts of ``spec.resolved.yaml``.
        folded: Whether the reader must unfold the block to see it.
    """
    try:
        values = {value.label: value for spec in resolved_specs for value in run_values(spec)}
        plots = value_plots(list(values.values()))
    except HaloError as error:
        return PageBlock(TITLE, note=f"They are not drawn: {error}", folded=folded)
    return PageBlock(TITLE, plots, note=NOTE, folded=folded) if plots else None
