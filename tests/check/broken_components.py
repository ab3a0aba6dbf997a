"""Components that each break one rule. `halo check` must say which one.

Every class has the rule that it breaks as `breaks`. Names are not those of any plugin.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field

from halo_core import (
    DataInfo,
    DataSource,
    Judge,
    JudgeContext,
    Loaded,
    Loss,
    LossBatch,
    LossOutput,
    RefPointEstimator,
    Stage,
    StageContext,
    StageResult,
    Tracker,
    TrackerSession,
)
from halo_core.errors import DataError
from halo_core.judge import Comparison, JudgeSession, Verdict
from halo_core.reference_point import Estimate, Observed, Pair, PairingPlan
from halo_core.reference_update import ReferenceUpdate


class Right(Loss):
    """A loss that keeps the rules: the probability that the wrong side wins."""

    breaks: ClassVar[str] = ""
    feedback: ClassVar = "binary"
    needs: ClassVar = ("policy_logps", "reference_logps")

    beta: float = Field(default=0.1, gt=0, description="Reward per nat.")

    def losses(self, batch: LossBatch) -> Any:
        gains = self.beta * batch.logratios
        return (-gains).where(batch.desirable, gains).sigmoid()

    def __call__(self, batch: LossBatch) -> LossOutput:
        return LossOutput(self.losses(batch))


class Unbounded(Right):
    """Has a number that can have the wrong sign."""

    breaks = "option-bounds"
    strength: float = Field(default=1.0, description="A factor.")


class BadDefault(Right):
    """Has a default that no spec could contain."""

    breaks = "option-defaults"
    strength: float = Field(default=-1.0, gt=0, description="A factor.")


class ThroughData(Right):
    """Clamps its inputs at the extremes."""

    breaks = "untouched"

    def __call__(self, batch: LossBatch) -> LossOutput:
        batch.policy_token_logps.data.clamp_(min=-1e3)
        return super().__call__(batch)


class InPlace(Right):
    """Changes the reference's log-probabilities."""

    breaks = "untouched"

    def __call__(self, batch: LossBatch) -> LossOutput:
        output = super().__call__(batch)
        batch.reference_token_logps.mul_(0.5)
        return output


class TrainsTheReference(Right):
    """Asks for a gradient of the reference."""

    breaks = "untouched"

    def __call__(self, batch: LossBatch) -> LossOutput:
        batch.reference_token_logps.requires_grad_()
        return super().__call__(batch)


class Random(Right):
    """Draws random numbers."""

    breaks = "untouched"

    def __call__(self, batch: LossBatch) -> LossOutput:
        import torch

        output = super().__call__(batch)
        return replace(output, losses=output.losses + torch.rand(()))


class OnTheCPU(Right):
    """Makes a tensor without the device of its inputs."""

    breaks = "dtype-and-device"

    def __call__(self, batch: LossBatch) -> LossOutput:
        import torch

        output = super().__call__(batch)
        return replace(output, losses=output.losses + torch.zeros(len(output.losses)))


class InFloat64(Right):
    """Returns another dtype than it got."""

    breaks = "dtype-and-device"

    def __call__(self, batch: LossBatch) -> LossOutput:
        output = super().__call__(batch)
        return replace(output, losses=output.losses.double())


class WrongSign(Right):
    """Makes bad completions more likely."""

    breaks = "direction"

    def losses(self, batch: LossBatch) -> Any:
        return 1 - super().losses(batch)


class HalfWrong(Right):
    """Has the wrong sign for undesirable completions only."""

    breaks = "direction"

    def losses(self, batch: LossBatch) -> Any:
        return (-self.beta * batch.logratios).sigmoid()


class Overflows(Right):
    """Is infinite far away from the reference."""

    breaks = "extremes"

    def losses(self, batch: LossBatch) -> Any:
        gains = 0.1 * batch.logratios
        return (-gains).where(batch.desirable, gains).exp()


class OverTheBatch(Right):
    """Depends on the other examples of the micro-batch."""

    breaks = "split"

    def losses(self, batch: LossBatch) -> Any:
        losses = super().losses(batch)
        return losses - losses.mean().detach()


class ByPosition(Right):
    """Depends on the order of the examples."""

    breaks = "permutation"

    def losses(self, batch: LossBatch) -> Any:
        losses = super().losses(batch)
        return losses * losses.new_tensor([1.0 + i for i in range(len(losses))])


class TheMean(Right):
    """Returns one number for all examples."""

    breaks = "output"

    def losses(self, batch: LossBatch) -> Any:
        return super().losses(batch).mean()


class Constant(Right):
    """Does not depend on the policy."""

    breaks = "output"

    def losses(self, batch: LossBatch) -> Any:
        return super().losses(batch).detach()


class NotANumber(Right):
    """Gives a metric as a text."""

    breaks = "output"

    def __call__(self, batch: LossBatch) -> LossOutput:
        return replace(super().__call__(batch), metrics={"size": "large"})


class NegativeWeights(Right):
    """Weighs examples with negative numbers."""

    breaks = "output"

    def __call__(self, batch: LossBatch) -> LossOutput:
        output = super().__call__(batch)
        return replace(output, weights=-output.losses.detach())


class NoLoss(Right):
    """Forgets to return."""

    breaks = "output"

    def __call__(self, batch: LossBatch) -> LossOutput:  # type: ignore[return]
        super().__call__(batch)


class StopsTheGradient(Right):
    """Multiplies by a detached factor, without saying so."""

    breaks = "gradient"

    def losses(self, batch: LossBatch) -> Any:
        losses = super().losses(batch)
        return losses * losses.detach()


class Unheard(Right):
    """Needs something that there is not."""

    breaks = "declaration"
    needs: ClassVar = ("policy_logps", "reference_logps", "moon_phase")


class Exits(Right):
    """Ends the process."""

    breaks = "output"

    def __call__(self, batch: LossBatch) -> LossOutput:
        raise SystemExit(0)


class UnknownRule(Right):
    """Leaves out a rule that does not exist."""

    breaks = "unchecked-rules"

    def unchecked_rules(self) -> Mapping[str, str]:
        return {"directions": "a typing mistake"}


class Falls(Right):
    """Has a value function that raises."""

    breaks = "abilities"

    def value(self, gain: float) -> float:
        return 1 / gain


class Estimator(RefPointEstimator):
    """The mean of the mismatched pairs, or 0."""

    breaks: ClassVar[str] = ""
    observes: ClassVar = "mismatched"

    def pairs(self, plan: PairingPlan, rng: Any) -> Sequence[Pair]:
        size = len(plan.batch)
        return [Pair(i, (i + 1) % size) for i in range(size)] if size > 1 else []

    def estimate(self, observed: Observed, state: Mapping[str, float]) -> Estimate:
        count = len(observed.logratios)
        return Estimate(max(0.0, sum(observed.logratios) / count) if count else 0.0)


class DividesByZero(Estimator):
    """Divides by the number of pairs, which can be 0."""

    breaks = "pairs-and-estimates"

    def estimate(self, observed: Observed, state: Mapping[str, float]) -> Estimate:
        return Estimate(sum(observed.logratios) / len(observed.logratios))


class OutsideThePlan(Estimator):
    """Pairs with a completion that does not exist."""

    breaks = "pairs-and-estimates"

    def pairs(self, plan: PairingPlan, rng: Any) -> Sequence[Pair]:
        return [Pair(0, 10_000)]


class ANumber(Estimator):
    """Returns a number for an Estimate."""

    breaks = "pairs-and-estimates"

    def estimate(self, observed: Observed, state: Mapping[str, float]) -> Any:
        return 0.0


class Endless(Estimator):
    """Gives infinity at large log-ratios."""

    breaks = "pairs-and-estimates"

    def estimate(self, observed: Observed, state: Mapping[str, float]) -> Estimate:
        large = any(abs(each) > 100 for each in observed.logratios)
        return Estimate(float("inf") if large else 0.0)


class TooMuch(ReferenceUpdate):
    """Takes twice the policy."""

    breaks: ClassVar[str] = "shares"

    def mix(self, step: int) -> float:
        return 2.0


class Never(ReferenceUpdate):
    """Never changes the reference."""

    breaks: ClassVar[str] = "shares"

    def mix(self, step: int) -> float:
        return 0.0


class Rows(DataSource):
    """Two rows that keep the rules."""

    breaks: ClassVar[str] = ""

    def inspect(self) -> DataInfo:
        return DataInfo("binary", ("train",), "rows-1")

    def load(self, split: str) -> Loaded:
        if split != "train":
            raise DataError(f"no split {split!r}; there is train")
        return Loaded([self.row("Moo?", True), self.row("Baa?", False)])

    def row(self, text: str, desirable: bool) -> dict[str, Any]:
        return {
            "prompt": [{"role": "user", "content": text}],
            "completion": "Yes.",
            "desirable": desirable,
        }


class UnknownRole(Rows):
    """Has a message of a role that does not exist."""

    breaks = "rows"

    def row(self, text: str, desirable: bool) -> dict[str, Any]:
        made = super().row(text, desirable)
        return made | {"prompt": [{"role": "farmer", "content": text}]}


class NoLabel(Rows):
    """Leaves out the label."""

    breaks = "rows"

    def row(self, text: str, desirable: bool) -> dict[str, Any]:
        made = super().row(text, desirable)
        del made["desirable"]
        return made


class LabelAsText(Rows):
    """Writes the label as a text."""

    breaks = "rows"

    def row(self, text: str, desirable: bool) -> dict[str, Any]:
        return super().row(text, desirable) | {"desirable": str(desirable)}


class AnySplit(Rows):
    """Has every split that anybody asks for."""

    breaks = "rows"

    def load(self, split: str) -> Loaded:
        return super().load("train")


class OtherRowsAgain(Rows):
    """Gives other rows the second time."""

    breaks = "rows"

    def load(self, split: str) -> Loaded:
        loaded = super().load(split)
        return Loaded([row | {"completion": f"{time.perf_counter_ns()}"} for row in loaded.rows])


class NoRows(Rows):
    """Has nothing."""

    breaks = "rows"

    def load(self, split: str) -> Loaded:
        super().load(split)
        return Loaded([])


class Around(DataSource):
    """Passes pairs on, as a conversion that keeps the rules."""

    breaks: ClassVar[str] = ""

    source: DataSource = Field(description="The source of pairs.")

    def inspect(self) -> DataInfo:
        info = self.source.inspect()
        if info.feedback != "paired":
            raise DataError(f"got {info.feedback} feedback; expected paired")
        return DataInfo("paired", info.splits, f"around-{info.digest}")

    def load(self, split: str) -> Loaded:
        return self.source.load(split)


class LosesDrops(Around):
    """Forgets what the wrapped source dropped."""

    breaks = "wrapping"

    def load(self, split: str) -> Loaded:
        return Loaded(self.source.load(split).rows)


class LosesIds(Around):
    """Gives all rows one id."""

    breaks = "wrapping"

    def load(self, split: str) -> Loaded:
        loaded = self.source.load(split)
        return Loaded(({**row, "id": "row"} for row in loaded.rows), loaded.dropped)


class OwnDigest(Around):
    """Has one digest for all contents."""

    breaks = "wrapping"

    def inspect(self) -> DataInfo:
        return replace(super().inspect(), digest="around")


class OtherPrompts(Around):
    """Invents prompts."""

    breaks = "wrapping"

    def load(self, split: str) -> Loaded:
        loaded = self.source.load(split)
        asked = [{"role": "user", "content": "Who is it?"}]
        return Loaded(({**row, "prompt": asked} for row in loaded.rows), loaded.dropped)


class First(Judge):
    """Always prefers the first answer."""

    breaks: ClassVar[str] = ""

    @contextmanager
    def open(self, context: JudgeContext) -> Iterator[JudgeSession]:
        yield FirstSession(type(self).verdict)

    @staticmethod
    def verdict(comparison: Comparison) -> Any:
        return Verdict(comparison.id, "A")


class FirstSession(JudgeSession):
    def __init__(self, verdict: Any) -> None:
        self.verdict = verdict

    def compare(self, comparisons: Sequence[Comparison]) -> Iterator[Verdict]:
        for comparison in comparisons:
            made = self.verdict(comparison)
            if made is not None:
                yield made


class WinnerIsAText(First):
    """Names the winner in words."""

    breaks = "verdicts"

    @staticmethod
    def verdict(comparison: Comparison) -> Any:
        return Verdict(comparison.id, "the first one")  # type: ignore[arg-type]


class VerdictIsAText(First):
    """Returns a text for a verdict."""

    breaks = "verdicts"

    @staticmethod
    def verdict(comparison: Comparison) -> Any:
        return "a"


class SkipsSome(First):
    """Has no verdict on equal texts."""

    breaks = "verdicts"

    @staticmethod
    def verdict(comparison: Comparison) -> Any:
        return None if comparison.a == comparison.b else Verdict(comparison.id, "A")


class WithoutAReason(First):
    """Does not say why there is no winner."""

    breaks = "verdicts"

    @staticmethod
    def verdict(comparison: Comparison) -> Any:
        return Verdict(comparison.id, None)


class Watches(Tracker):
    """Takes events and forgets them."""

    breaks: ClassVar[str] = ""

    def open(self, run: Path, workspace: Path) -> TrackerSession:
        return Session()


class Session(TrackerSession):
    def handle(self, events: Sequence[Any]) -> None:
        pass

    def close(self) -> None:
        pass


class OpensNothing(Watches):
    """Returns None for a session."""

    breaks = "events"

    def open(self, run: Path, workspace: Path) -> Any:
        return None


class RaisesAtOpen(Watches):
    """Raises when it is opened."""

    breaks = "events"

    def open(self, run: Path, workspace: Path) -> TrackerSession:
        raise OSError("no route to host")


class RaisesAtEvents(Watches):
    """Raises at each event."""

    breaks = "events"

    def open(self, run: Path, workspace: Path) -> TrackerSession:
        class Broken(Session):
            def handle(self, events: Sequence[Any]) -> None:
                raise KeyError("metrics")

        return Broken()


class Sleeps(Watches):
    """Takes a minute for each call."""

    breaks = "events"

    def open(self, run: Path, workspace: Path) -> TrackerSession:
        time.sleep(60)
        return Session()


class Cheap(Stage):
    """A stage that keeps the rules."""

    breaks: ClassVar[str] = ""
    produces: ClassVar = "model"

    def run(self, context: StageContext) -> StageResult:
        return StageResult({})


class SaysNonsense(Cheap):
    """Returns a text for its mistakes."""

    breaks = "sayings"

    def mistakes(self) -> Any:
        return "none"


class NegativeWork(Cheap):
    """Plans less than nothing."""

    breaks = "sayings"

    def work(self, known: Any) -> Any:
        return -1
