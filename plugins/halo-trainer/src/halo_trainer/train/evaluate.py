"""The loss on evaluation sets, as exact sums over all their examples."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch

from halo_core.errors import NotFiniteError
from halo_core.reference_point import RefPointEstimator
from halo_trainer.batch.batch_plan import BatchPlan
from halo_trainer.batch.micro_batch import GlobalBatch
from halo_trainer.encode.examples import EncodedExample
from halo_trainer.train.metrics import Metrics, Sources, means, total
from halo_trainer.train.objective import Objective
from halo_trainer.train.prepare import prepare


def evaluate_set(
    objective: Objective,
    estimator: RefPointEstimator | None,
    data: Sequence[EncodedExample],
    *,
    batch_size: int,
    seed: int,
    state: Mapping[str, float],
    evaluated: Callable[[int], None] | None = None,
) -> dict[str, float]:
    """Returns the metrics of a set, under their names in training without ``train/``.

    The set is evaluated in its order, with `batch_size` examples per reference point and the same
    pairs every time.

    Args:
        objective: The models and the loss.
        estimator: Estimates the reference points; None if the loss needs none.
        data: The set.
        batch_size: Number of examples per reference point, as in training.
        seed: Seed of the run, used for the pairs.
        state: The estimator's latest state in training. It is not changed.
        evaluated: Receives the number of examples after each batch.

    Raises:
        NotFiniteError: When the loss, the reference point or a metric is not finite.
    """
    plan = BatchPlan(len(data), batch_size, seed, shuffled=False)
    metrics = Metrics()
    sources = Sources(objective.loss, estimator)
    objective.policy.eval()
    with torch.no_grad():
        for step in range(1, plan.steps_per_epoch + 1):
            rng = plan.rng(step, "evaluation pairs")
            batch = prepare(objective, estimator, data, plan.batch(step), rng, state)
            _add(objective, batch, metrics)
            if evaluated is not None:
                evaluated(len(batch.examples))
            if batch.estimate is not None:
                sources.take(batch.estimate)
            if objective.ranks.main:
                # Classes are counted over the whole set.
                feedback = objective.loss.resolved_feedback()
                metrics.add_batch(feedback, batch, batch.estimate, steps=float(step == 1))
    objective.policy.train()
    sums = total(objective.ranks.gather(metrics.sums()))
    named = {name.removeprefix("train/"): pair for name, pair in sums.items()}
    if wrong := sources.fault(named):
        raise NotFiniteError(wrong)
    return means(named)


def _add(objective: Objective, batch: GlobalBatch, metrics: Metrics) -> None:
    for index, positions in enumerate(batch.micro_batches):
        micro = objective.micro_batch(batch, index)
        seen, output = objective.output(micro, batch, batch.computed.get(index))
        if positions:
            metrics.add_output(objective.loss.resolved_feedback(), seen, output)
