"""The loss on sets that are not learned from, as exact sums over all their examples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from halo_trainer.batch.batch_plan import BatchPlan
from halo_trainer.batch.micro_batch import Prepared
from halo_trainer.encode.examples import EncodedExample
from halo_trainer.train.metrics import Metrics, means, total
from halo_trainer.train.objective import Scoring


def evaluate(
    scoring: Scoring,
    data: Sequence[EncodedExample],
    *,
    batch_size: int,
    seed: int,
    state: Mapping[str, float],
) -> dict[str, float]:
    """Returns the metrics of a set, by their names in training without ``train/``.

    The set is gone through in its order, `batch_size` examples for each reference point, with the
    same pairs every time.

    Args:
        scoring: The models and the loss.
        data: The set.
        batch_size: Of training.
        seed: The run's.
        state: Of the reference point's estimator in training, which is left as it is.

    Raises:
        NotFiniteError: When the reference point is not a number.
    """
    plan = BatchPlan(len(data), batch_size, seed, shuffled=False)
    metrics = Metrics()
    scoring.policy.eval()
    with torch.no_grad():
        for step in range(1, plan.steps_per_epoch + 1):
            rng = plan.rng(step, "evaluation pairs")
            prepared = scoring.prepare(data, plan.batch(step), rng, state)
            _add(scoring, prepared, metrics)
            if scoring.ranks.main:
                # Classes are counted over the whole set.
                add_batch(scoring, prepared, metrics, steps=float(step == 1))
    scoring.policy.train()
    found = means(total(scoring.ranks.gather(metrics.sums())))
    return {name.removeprefix("train/"): value for name, value in found.items()}


def _add(scoring: Scoring, prepared: Prepared, metrics: Metrics) -> None:
    for call, places in enumerate(prepared.places):
        micro = scoring.micro_batch(prepared, call)
        batch, output = scoring.output(micro, prepared, prepared.computed.get(call))
        if places:
            metrics.add_output(scoring.loss.resolved_feedback(), batch, output)


def add_batch(
    scoring: Scoring, prepared: Prepared, metrics: Metrics, *, steps: float = 1.0
) -> None:
    """Adds what is known of a whole global batch: examples per class, reference point.

    Args:
        scoring: The models and the loss.
        prepared: The global batch.
        metrics: Where to.
        steps: What a count of examples is divided by: 1 gives examples per step.
    """
    if scoring.loss.resolved_feedback() == "binary":
        desirable = sum(e.completions[0].desirable for e in prepared.examples)
        metrics.add("counts/desirable", desirable, steps)
        metrics.add("counts/undesirable", len(prepared.examples) - desirable, steps)
    if prepared.estimate is not None:
        metrics.add("policy/reference_point", prepared.estimate.value, 1)
        for name, (value, count) in prepared.estimate.metrics.items():
            metrics.add(name, value, count)
