"""The progress of a training, and its record in a checkpoint."""

from __future__ import annotations

from dataclasses import dataclass, field

from halo_core.workspace.records import CheckpointRecord
from halo_trainer.train.metrics import Sums
from halo_trainer.train.token_budget import Budget


@dataclass
class TrainState:
    """The progress of a training, apart from weights and optimiser.

    Attributes:
        step: Number of optimiser steps done.
        tokens: Number of tokens computed so far.
        estimator: State of the reference point's estimator.
        window: Sums of metrics since they were last logged, over all processes.
        first_loss: The first logged loss.
        last: The latest value of each curve.
        score: Loss on the first evaluation set at this step; None if it was not measured.
        budget: Token budget of micro-batches; None if none is known yet.
        processes: Number of processes that computed the step; None if an older halo did not say.
    """

    step: int = 0
    tokens: int = 0
    estimator: dict[str, float] = field(default_factory=dict)
    window: Sums = field(default_factory=dict)
    first_loss: float | None = None
    last: dict[str, float] = field(default_factory=dict)
    score: float | None = None
    budget: Budget | None = None
    processes: int | None = None

    def record(self) -> CheckpointRecord:
        """Returns the record of this state, which later changes of the state do not reach."""
        record = CheckpointRecord(
            step=self.step,
            tokens=self.tokens,
            estimator=dict(self.estimator),
            window={name: list(pair) for name, pair in self.window.items()},
            first_loss=self.first_loss,
            last=dict(self.last),
            score=self.score,
        )
        if self.processes is not None:
            record["processes"] = self.processes
        if self.budget is not None:
            record["micro_batch_tokens"] = self.budget.tokens
            record["micro_batch_option"] = self.budget.option
        return record


def state_from(record: CheckpointRecord) -> TrainState:
    """Returns the state that `TrainState.record` recorded."""
    return TrainState(
        step=record["step"],
        tokens=record["tokens"],
        estimator=dict(record["estimator"]),
        window={name: (pair[0], pair[1]) for name, pair in record["window"].items()},
        first_loss=record["first_loss"],
        last=dict(record["last"]),
        score=record.get("score"),
        budget=_budget(record),
        processes=record.get("processes"),
    )


def _budget(record: CheckpointRecord) -> Budget | None:
    if "micro_batch_tokens" not in record:
        return None
    option = record.get("micro_batch_option", "auto")
    return Budget(record["micro_batch_tokens"], "auto" if isinstance(option, str) else option)
