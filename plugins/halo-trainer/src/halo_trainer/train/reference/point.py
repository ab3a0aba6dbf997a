"""The reference point of a global batch, with one function for each kind of observation.

Each function takes a global batch and returns it with its point, as far as that is known before the
gradient. The objective does all scoring for it, without a gradient.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch

from halo_core.errors import NotFiniteError
from halo_core.guarded.reference_point_calls import (
    estimate_of,
    known_point,
    pairs_of,
    partners_of,
)
from halo_core.reference_point import (
    Candidate,
    Estimate,
    Observed,
    Pair,
    PairingPlan,
    RefPointEstimator,
)
from halo_trainer.batch.batch_plan import BatchPositions
from halo_trainer.batch.fixed_partners import fixed_partner
from halo_trainer.batch.micro_batch import GlobalBatch, Lagging, completions_of
from halo_trainer.batch.packing import Scored
from halo_trainer.encode.examples import EncodedCompletion, EncodedExample
from halo_trainer.train.objective import Objective
from halo_trainer.train.reference.mismatched_logratios import logratios, logratios_after_own_pass
from halo_trainer.train.reference.own_logratios import first_pass

NAMED = 5
"""Largest number of pairs that an error names."""


def with_reference_point(
    estimator: RefPointEstimator,
    objective: Objective,
    batch: GlobalBatch,
    data: Sequence[EncodedExample],
    positions: BatchPositions,
    rng: random.Random,
    state: Mapping[str, float],
) -> GlobalBatch:
    """Returns a global batch with its reference point.

    Args:
        estimator: Estimates the point.
        objective: Scores what the estimator observes.
        batch: The global batch.
        data: The data that `positions` point to.
        positions: Positions of the batch in the data, and of the examples that follow.
        rng: Random generator for mismatched pairs.
        state: State of the estimator after the step before.

    Raises:
        NotFiniteError: When a log-ratio or the point is not a number.
        PluginError: When the estimator returns an invalid value.
    """
    match estimator.observes:
        case "nothing":
            return observe_nothing(estimator, batch, state)
        case "own":
            return observe_own(estimator, objective, batch, state)
        case "pair":
            return observe_pair(estimator, batch)
        case "mismatched":
            following = [data[i] for i in positions.following]
            partners: list[EncodedExample] = []
            if partners_of(estimator) == "fixed":
                partners = [data[fixed_partner(data, i, positions.seed)] for i in positions.indices]
            return observe_mismatched(estimator, objective, batch, following, partners, rng, state)


def observe_nothing(
    estimator: RefPointEstimator, batch: GlobalBatch, state: Mapping[str, float]
) -> GlobalBatch:
    """Returns a batch with a point that needs no log-ratios."""
    observed = Observed((), (), (), len(batch.completions))
    return replace(batch, estimate=_finite_estimate(estimator, observed, state))


def observe_pair(estimator: RefPointEstimator, batch: GlobalBatch) -> GlobalBatch:
    """Returns a batch whose pairs each get a point when the loss sees them."""
    return replace(batch, point_of_pair=estimator)


def observe_own(
    estimator: RefPointEstimator,
    objective: Objective,
    batch: GlobalBatch,
    state: Mapping[str, float],
) -> GlobalBatch:
    """Returns a batch with a point from its own completions, from passes that are made anyway.

    If no such pass gives their log-ratios, the completions are scored only for the point.
    """
    if not objective.gives_own_logratios:
        sequences = [Scored(c.prompt_ids, c.completion_ids) for _, c in batch.completions]
        ratios = logratios(objective, sequences)
        return replace(batch, estimate=own_estimate(estimator, batch, ratios, state))
    if estimator.lagged and torch.is_grad_enabled():
        lagging = Lagging(estimator, state)
        known = _finite(estimator, known_point(estimator, state))
        return replace(batch, estimate=known, lagging=lagging)
    computed, ratios = first_pass(objective, batch)
    estimate = own_estimate(estimator, batch, ratios, state)
    return replace(batch, estimate=estimate, computed=computed)


def own_estimate(
    estimator: RefPointEstimator,
    batch: GlobalBatch,
    ratios: Sequence[float],
    state: Mapping[str, float],
) -> Estimate:
    """Returns the reference point from the log-ratios of a batch's own completions.

    Args:
        estimator: Estimates the point.
        batch: The global batch.
        ratios: Log-ratio of each of its completions, nats.
        state: State of the estimator after the step before.

    Raises:
        NotFiniteError: When a log-ratio or the estimate is not a number.
    """
    completions = batch.completions
    if bad := _not_finite(ratios):
        names = ", ".join(completions[i][0].id for i in bad[:NAMED])
        raise NotFiniteError(f"the log-ratio of {len(bad)} completions is not a number: {names}")
    lengths = [len(completion.completion_ids) for _, completion in completions]
    pairs = [Pair(i, i) for i in range(len(completions))]
    return _finite_estimate(estimator, Observed(ratios, lengths, pairs, len(pairs)), state)


def observe_mismatched(
    estimator: RefPointEstimator,
    objective: Objective,
    batch: GlobalBatch,
    following: Sequence[EncodedExample],
    partners: Sequence[EncodedExample],
    rng: random.Random,
    state: Mapping[str, float],
) -> GlobalBatch:
    """Returns a batch with a point from prompts that are paired with other prompts' completions.

    Args:
        estimator: Chooses the pairs, and estimates the point from their log-ratios.
        objective: Scores the pairs.
        batch: The global batch.
        following: The next examples of the epoch, nearest first.
        partners: The fixed partners of the batch; none unless the estimator needs them.
        rng: Random generator for the pairs.
        state: State of the estimator after the step before.

    Raises:
        NotFiniteError: When a log-ratio of a pair is not finite.
    """
    # Pairs are positions over all three parts, in this order.
    parts = [completions_of(part) for part in (batch.examples, following, partners)]
    plan = PairingPlan(*([Candidate(e.prompt_id, c.completion_id) for e, c in p] for p in parts))
    pool = [completion for part in parts for completion in part]
    pairs = pairs_of(estimator, plan, rng)
    sequences = [
        _joined(pool[p.prompt][1], pool[p.completion][1], objective.max_length) for p in pairs
    ]
    if pairs and objective.keeps_prompts(batch):
        prompts = [pair.prompt for pair in pairs]
        computed, ratios = logratios_after_own_pass(objective, batch, prompts, sequences)
        batch = replace(batch, computed=computed)
    else:
        ratios = logratios(objective, sequences)
    if bad := [pairs[i] for i in _not_finite(ratios)]:
        named = [f"{pool[p.prompt][0].id} with {pool[p.completion][0].id}" for p in bad[:NAMED]]
        raise NotFiniteError(
            f"the log-ratio of {len(bad)} mismatched pairs is not a number: the prompt of "
            f"{', '.join(named)}"
        )
    lengths = [len(sequence.completion_ids) for sequence in sequences]
    observed = Observed(ratios, lengths, pairs, len(batch.completions))
    return replace(batch, estimate=_finite_estimate(estimator, observed, state))


def _joined(prompt: EncodedCompletion, completion: EncodedCompletion, max_length: int) -> Scored:
    """Returns one example's prompt with another's completion, cut at the end if too long."""
    # At least one token, so that every pair has a log-ratio.
    room = max(1, max_length - len(prompt.prompt_ids))
    return Scored(prompt.prompt_ids, completion.completion_ids[:room])


def _not_finite(values: Sequence[float]) -> list[int]:
    return [i for i, value in enumerate(values) if not math.isfinite(value)]


def _finite_estimate(
    estimator: RefPointEstimator, observed: Observed, state: Mapping[str, float]
) -> Estimate:
    return _finite(estimator, estimate_of(estimator, observed, state))


def _finite(estimator: RefPointEstimator, estimate: Estimate) -> Estimate:
    if not math.isfinite(estimate.value):
        raise NotFiniteError(f"{estimator.spec_name} estimated {estimate.value}")
    for name, value in estimate.state.items():
        if not math.isfinite(value):
            raise NotFiniteError(
                f"{estimator.spec_name} gave the state {name!r} as {value}; expected a finite "
                "number, which the next step continues from"
            )
    return estimate
