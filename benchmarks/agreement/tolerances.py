"""Tolerances for two computations of the same loss."""

from __future__ import annotations

LOSS_TOLERANCE = 1e-6
"""Tolerance of losses, in nats, or as a share of a loss above 1."""
GRADIENT_TOLERANCE = 1e-5
"""Tolerance of gradients, as a share of the largest entry of each tensor."""


def near(value: float, other: float) -> bool:
    """Returns whether two losses are equal within the tolerance."""
    return abs(value - other) <= LOSS_TOLERANCE * max(1.0, abs(other))
