"""Components that keep, write or set something, and so each break the rule `breaks`."""

from __future__ import annotations

import os
import subprocess
import tempfile
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field, PrivateAttr

from halo_core import (
    Estimate,
    Loss,
    LossBatch,
    LossOutput,
    Observed,
    ReferenceUpdate,
    RefPointEstimator,
)

SEEN: dict[str, float] = {"sum": 0.0, "count": 0}
POINTS: list[float] = []
ELSEWHERE = Path(tempfile.gettempdir()) / f"halo-broken-effects-{os.getpid()}.txt"


class Pure(Loss):
    """A loss that only computes."""

    breaks: ClassVar[str] = ""
    feedback: ClassVar = "binary"
    needs: ClassVar = ("policy_logps", "reference_logps")

    beta: float = Field(default=0.1, gt=0, description="Reward per nat.")

    def losses(self, batch: LossBatch) -> Any:
        gains = self.beta * batch.logratios
        return (-gains).where(batch.desirable, gains).sigmoid()

    def __call__(self, batch: LossBatch) -> LossOutput:
        return LossOutput(self.losses(batch), rewards=self.beta * batch.logratios)


class KeepsAMean(Pure):
    """Keeps a mean in its module."""

    breaks = "stateless"

    def __call__(self, batch: LossBatch) -> LossOutput:
        losses = self.losses(batch)
        SEEN["sum"] += float(losses.sum())
        SEEN["count"] += len(losses)
        return LossOutput(losses, metrics={"mean": (SEEN["sum"], SEEN["count"])})


class KeepsTheBatch(Pure):
    """Keeps the last batch in itself."""

    breaks = "stateless"
    _last: Any = PrivateAttr(default=None)

    def __call__(self, batch: LossBatch) -> LossOutput:
        self._last = batch.policy_token_logps.detach()
        return super().__call__(batch)


class CountsOnItsClass(Pure):
    """Counts its calls on its class, and becomes another loss after a while."""

    breaks = "stateless"
    calls: ClassVar[int] = 0

    def __call__(self, batch: LossBatch) -> LossOutput:
        type(self).calls += 1
        factor = 1.0 if self.calls < 100_000 else 2.0
        return LossOutput(factor * self.losses(batch))


def remembered(value: float, seen: list[float] = []) -> float:  # noqa: B006
    seen.append(value)
    return seen[-1]


class KeepsInAFunction(Pure):
    """Keeps values in the default of a parameter."""

    breaks = "stateless"

    def __call__(self, batch: LossBatch) -> LossOutput:
        remembered(float(batch.logratios.sum()))
        return super().__call__(batch)


class WritesALog(Pure):
    """Writes a line for each batch."""

    breaks = "stateless"

    def __call__(self, batch: LossBatch) -> LossOutput:
        with ELSEWHERE.open("a") as file:
            file.write("batch\n")
        return super().__call__(batch)


class AsksAProcess(Pure):
    """Starts a process for each batch."""

    breaks = "stateless"

    def __call__(self, batch: LossBatch) -> LossOutput:
        subprocess.run(["true"], check=False)
        return super().__call__(batch)


class SetsAVariable(Pure):
    """Sets an environment variable for all code."""

    breaks = "stateless"

    def __call__(self, batch: LossBatch) -> LossOutput:
        os.environ["HALO_BROKEN_COMPONENT"] = "1"
        return super().__call__(batch)


class SilencesWarnings(Pure):
    """Hides the warnings of all code."""

    breaks = "stateless"

    def __call__(self, batch: LossBatch) -> LossOutput:
        warnings.simplefilter("ignore")
        return super().__call__(batch)


class SearchesForAnomalies(Pure):
    """Makes all trainings slow."""

    breaks = "stateless"

    def __call__(self, batch: LossBatch) -> LossOutput:
        import torch

        torch.autograd.set_detect_anomaly(True)
        return super().__call__(batch)


class SeedsNumpy(Pure):
    """Sets the seed of numpy."""

    breaks = "stateless"

    def __call__(self, batch: LossBatch) -> LossOutput:
        import numpy

        numpy.random.seed(1)
        return super().__call__(batch)


class KeepsPoints(RefPointEstimator):
    """Keeps its points in a list of its module."""

    breaks: ClassVar[str] = "stateless"
    observes: ClassVar = "own"

    def estimate(self, observed: Observed, state: Mapping[str, float]) -> Estimate:
        POINTS.append(sum(observed.logratios) / max(1, len(observed.logratios)))
        return Estimate(max(0.0, POINTS[-1]))


class WritesShares(ReferenceUpdate):
    """Writes each step into a file."""

    breaks: ClassVar[str] = "stateless"

    def mix(self, step: int) -> float:
        ELSEWHERE.write_text(str(step))
        return 0.5
