"""The reference point of a global batch, for each kind of what an estimator observes."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from halo_core.errors import NotFiniteError
from halo_core.guarded.reference_point_calls import estimate_of, pairs_of, points_within
from halo_core.loss import LossBatch
from halo_core.reference_point import (
    Candidate,
    Estimate,
    Observed,
    Pair,
    PairingPlan,
    RefPointEstimator,
)
from halo_trainer.batch.deal import deal
from halo_trainer.batch.packing import PackedRow, Scored, pack
from halo_trainer.encode.examples import EncodedCompletion, EncodedExample
from halo_trainer.train.ranks import Ranks

NAMED = 5
"""Most pairs that an error names."""


@dataclass(frozen=True)
class Logratios:
    """Scores sequences on all processes.

    Attributes:
        score: Policy minus reference log-probability of each completion of a row, nats [B].
        ranks: The processes.
        micro_batch_tokens: Budget of a packed row.
    """

    score: Callable[[PackedRow], Tensor]
    ranks: Ranks
    micro_batch_tokens: int

    def of(self, sequences: Sequence[Scored]) -> list[float]:
        """Returns the log-ratio of each sequence, in order, the same on every process."""
        sizes = [sequence.tokens for sequence in sequences]
        dealt = deal(sizes, budget=self.micro_batch_tokens, ranks=self.ranks.world)
        found = torch.zeros(len(sequences), dtype=torch.float64, device=self.ranks.device)
        for items in dealt[self.ranks.rank]:
            # An empty one is computed too: all processes make the same calls.
            row = pack([sequences[i] for i in items or [0]]).to(self.ranks.device)
            values = self.score(row).double()
            found[items] = values[: len(items)]
        values_of_all: list[float] = self.ranks.sum(found).tolist()
        return values_of_all


@dataclass(frozen=True)
class Asked:
    """What an estimator observes of a global batch.

    Attributes:
        estimator: Who asks.
        pool: The completions that the pairs are made of, with their examples.
        pairs: Positions in the pool; none where it observes nothing.
        batch_size: The completions of the global batch, which have the smaller positions.
    """

    estimator: RefPointEstimator
    pool: Sequence[tuple[EncodedExample, EncodedCompletion]]
    pairs: Sequence[Pair]
    batch_size: int

    def sequences(self, max_length: int) -> list[Scored]:
        """Returns what has to be scored; a longer pair loses the end of its completion."""
        return [
            _joined(self.pool[p.prompt][1], self.pool[p.completion][1], max_length)
            for p in self.pairs
        ]

    def estimate(
        self, ratios: Sequence[float], lengths: Sequence[int], state: Mapping[str, float]
    ) -> Estimate:
        """Returns the reference point of the global batch.

        Args:
            ratios: The log-ratio of each pair, nats.
            lengths: Completion tokens of each pair.
            state: What the estimator returned at the step before.

        Raises:
            NotFiniteError: When a log-ratio or the estimate is not a number.
        """
        bad = [pair for pair, r in zip(self.pairs, ratios, strict=True) if not math.isfinite(r)]
        if bad:
            raise NotFiniteError(self._not_a_number(bad))
        observed = Observed(ratios, lengths, self.pairs, self.batch_size)
        estimate = estimate_of(self.estimator, observed, state)
        if not math.isfinite(estimate.value):
            raise NotFiniteError(f"{self.estimator.spec_name} estimated {estimate.value}")
        return estimate

    def own_estimate(self, ratios: Sequence[float], *, state: Mapping[str, float]) -> Estimate:
        """Returns the same from the log-ratios of the batch's own completions.

        Raises:
            NotFiniteError: When a log-ratio or the estimate is not a number.
        """
        lengths = [len(self.pool[pair.completion][1].completion_ids) for pair in self.pairs]
        return self.estimate(ratios, lengths, state)

    def _not_a_number(self, bad: Sequence[Pair]) -> str:
        named = [(self.pool[p.prompt][0].id, self.pool[p.completion][0].id) for p in bad[:NAMED]]
        if self.estimator.observes == "own":
            names = ", ".join(row for row, _ in named)
            return f"the log-ratio of {len(bad)} completions is not a number: {names}"
        names = ", ".join(f"{prompt} with {completion}" for prompt, completion in named)
        return (
            f"the log-ratio of {len(bad)} mismatched pairs is not a number: the prompt of {names}"
        )


def mismatched_pairs(
    estimator: RefPointEstimator,
    examples: Sequence[EncodedExample],
    following: Iterable[EncodedExample],
    fixed: Iterable[EncodedExample],
    rng: random.Random,
) -> Asked:
    """Returns the pairs that an estimator makes of a global batch.

    Args:
        estimator: Chooses the pairs and makes one number of their log-ratios.
        examples: The global batch, in global order.
        following: The next examples of the epoch, nearest first.
        fixed: The fixed partners of the batch; none unless the estimator wants them.
        rng: The chance of the pairs.

    Raises:
        PluginError: When the estimator names a completion that is not in the plan.
    """
    parts = [_completions(part) for part in (examples, following, fixed)]
    plan = PairingPlan(*([Candidate(e.prompt_id, c.completion_id) for e, c in p] for p in parts))
    pool = [completion for part in parts for completion in part]
    return Asked(estimator, pool, pairs_of(estimator, plan, rng), len(parts[0]))


def own_completions(estimator: RefPointEstimator, examples: Sequence[EncodedExample]) -> Asked:
    """Returns each prompt of a global batch with its own completion, in global order."""
    pool = _completions(examples)
    return Asked(estimator, pool, [Pair(i, i) for i in range(len(pool))], len(pool))


def nothing(estimator: RefPointEstimator, examples: Sequence[EncodedExample]) -> Asked:
    """Returns what an estimator observes that observes nothing of a global batch."""
    return Asked(estimator, (), (), sum(len(example.completions) for example in examples))


def _completions(
    examples: Iterable[EncodedExample],
) -> list[tuple[EncodedExample, EncodedCompletion]]:
    return [(example, completion) for example in examples for completion in example.completions]


def _joined(prompt: EncodedCompletion, completion: EncodedCompletion, max_length: int) -> Scored:
    room = max(1, max_length - len(prompt.prompt_ids))
    return Scored(prompt.prompt_ids, completion.completion_ids[:room])


def chosen_against_pair(batch: LossBatch, estimator: RefPointEstimator) -> LossBatch:
    """Returns the chosen completions of a batch of pairs, with a reference point for each.

    Args:
        batch: Pairs.
        estimator: One that observes each pair; a gradient flows through its points.

    Raises:
        PluginError: When it gives another number of points than there are pairs.
    """
    chosen = batch.desirable
    ratios = batch.logratios
    point = points_within(estimator, ratios[chosen], ratios[~chosen])
    return replace(batch.only(chosen), reference_point=point)
