"""A global batch with everything that is known before its gradient."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import replace

from halo_core.reference_point import RefPointEstimator
from halo_trainer.batch.batch_plan import BatchPositions
from halo_trainer.batch.micro_batch import GlobalBatch, global_batch
from halo_trainer.encode.examples import EncodedExample
from halo_trainer.train.objective import Objective
from halo_trainer.train.reference.point import with_reference_point


def prepare(
    objective: Objective,
    estimator: RefPointEstimator | None,
    data: Sequence[EncodedExample],
    positions: BatchPositions,
    rng: random.Random,
    state: Mapping[str, float],
) -> GlobalBatch:
    """Returns a global batch with everything that is known before its gradient.

    Args:
        objective: The models and the loss.
        estimator: Estimates the reference point; None if the loss needs none.
        data: The data that `positions` point to.
        positions: Positions of the batch's examples.
        rng: Random generator for the estimator's pairs.
        state: State of the estimator after the step before.

    Raises:
        NotFiniteError: When the reference point is not a number.
    """
    batch = global_batch(
        [data[i] for i in positions.indices],
        budget=objective.micro_batch_tokens,
        rank=objective.ranks.rank,
        ranks=objective.ranks.world,
        share=objective.shares_prompts_now,
    )
    if estimator is not None:
        batch = with_reference_point(estimator, objective, batch, data, positions, rng, state)
    if "statistics" in objective.loss.needed():
        batch = replace(batch, statistics=objective.statistics(batch))
    return batch
