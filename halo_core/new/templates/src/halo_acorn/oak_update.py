"""A reference update that follows the policy in regular steps."""

from __future__ import annotations

from pydantic import Field

from halo_core import ReferenceUpdate


class OakUpdate(ReferenceUpdate):
    """Mixes a share of the policy into its reference, always after the same number of steps."""

    every: int = Field(default=10, ge=1, description="Number of optimiser steps between updates.")
    share: float = Field(default=0.5, gt=0, le=1, description="Share of the policy; 1 copies it.")

    def mix(self, step: int) -> float:
        """Returns the share of the policy that goes into the reference before a step."""
        return self.share if step > 1 and (step - 1) % self.every == 0 else 0.0
