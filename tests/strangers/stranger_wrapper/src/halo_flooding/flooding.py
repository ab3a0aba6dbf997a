"""A minimum for a loss: an example below it is unlearned until its loss reaches the minimum."""

from __future__ import annotations

from dataclasses import replace

from pydantic import Field

from halo_core import LossBatch, LossOutput, LossWrapper


class Flooding(LossWrapper):
    """``|loss - level| + level`` for each example of the wrapped loss."""

    citation = (
        "Ishida et al. (2020), Do We Need Zero Training Loss After Achieving Zero Training Error?"
    )

    level: float = Field(gt=0, description="Minimum loss of an example, in the unit of the loss.")

    def unchecked_rules(self) -> dict[str, str]:
        """Returns the rule of the direction: below the level, examples are unlearned."""
        return {**super().unchecked_rules(), "direction": "examples below the level are unlearned"}

    def change_output(self, batch: LossBatch, output: LossOutput) -> LossOutput:
        """Returns the output with losses that are at least the level."""
        return replace(output, losses=(output.losses - self.level).abs() + self.level)
