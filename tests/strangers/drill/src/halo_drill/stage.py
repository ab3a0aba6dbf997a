"""The options of the stage `drill`. The module `work` does the work."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar

from pydantic import Field

from halo_core import (
    Default,
    Forecast,
    Known,
    LearnRef,
    Loss,
    ModelRef,
    Stage,
    StageContext,
    StageResult,
    StartRef,
    TestRef,
)

PROVIDED = ("policy_logps", "reference_logps", "reference_point")


class Drill(Stage):
    """Trains a model with a loss, one completion at a time, with 0 as the reference point."""

    produces: ClassVar = "model"

    pupil: Annotated[StartRef | None, Default("previous")] = Field(
        default=None, description="Model to start from. Default: the nearest earlier model."
    )
    elder: Annotated[ModelRef | None, Default("pupil")] = Field(
        default=None, description="Model that the pupil is compared with. Default: the pupil."
    )
    corpus: LearnRef = Field(description="Completions to train on.")
    exam: TestRef | None = Field(default=None, description="Completions to evaluate the loss on.")
    objective: Loss = Field(description="Loss of a completion, for binary feedback.")
    rate: float = Field(default=0.01, gt=0, description="Learning rate.")

    def mistakes(self) -> Iterator[tuple[str, str]]:
        """Yields a mistake for each need of the loss that the stage cannot compute."""
        for need in sorted({*self.objective.needed()} - {*PROVIDED}):
            yield "objective", f"needs {need!r}, which drill cannot compute"

    def forecast(self, known: Known) -> Forecast:
        """Returns the number of weights, which does not change, and the number of updates."""
        updates = "unknown" if known.learned is None else str(known.learned)
        return Forecast(weights=known.weights, size={"updates": updates})

    def run(self, context: StageContext) -> StageResult:
        """Trains from the beginning, even after a stop, and writes the model."""
        from halo_drill.work import drill

        return drill(self, context)
