"""How near two computations of one loss have to be."""

from __future__ import annotations

LOSS_TOLERANCE = 1e-6
"""Of losses: in nats, or as a share of losses above 1."""
GRADIENT_TOLERANCE = 1e-5
"""Of gradients: as a share of the largest entry of each tensor."""


def near(value: float, other: float) -> bool:
    """Returns whether a loss is another's, within the tolerance."""
    return abs(value - other) <= LOSS_TOLERANCE * max(1.0, abs(other))
