"""The stage `drill`: what it is asked to do. How it does it is in `work`."""

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
    """Trains a model with a loss, one completion after the other; the reference point is 0."""

    produces: ClassVar = "model"

    pupil: Annotated[StartRef | None, Default("previous")] = Field(
        default=None, description="The model to start from; the preceding one when left out."
    )
    elder: Annotated[ModelRef | None, Default("pupil")] = Field(
        default=None, description="What the pupil is compared with; itself when left out."
    )
    corpus: LearnRef = Field(description="The completions to learn from.")
    exam: TestRef | None = Field(default=None, description="Completions to measure the loss on.")
    objective: Loss = Field(description="What a completion costs the pupil; on binary feedback.")
    rate: float = Field(default=0.01, gt=0, description="The learning rate.")

    def mistakes(self) -> Iterator[tuple[str, str]]:
        """Yields what the loss needs and the stage cannot compute."""
        for need in sorted({*self.objective.needed()} - {*PROVIDED}):
            yield "objective", f"needs {need!r}, which drill cannot compute"

    def forecast(self, known: Known) -> Forecast:
        """Returns the weights, which stay as many, and how often they are changed."""
        updates = "unknown" if known.learned is None else str(known.learned)
        return Forecast(weights=known.weights, size={"updates": updates})

    def run(self, context: StageContext) -> StageResult:
        """Trains from the beginning, however often it was begun, and writes the model."""
        from halo_drill.work import drill

        return drill(self, context)
