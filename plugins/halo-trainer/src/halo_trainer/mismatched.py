"""The reference point of a global batch: pairs made, scored on all processes, estimated."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from halo_core.errors import NotFiniteError, PluginError
from halo_core.reference_point import (
    Candidate,
    Estimate,
    Observed,
    Pair,
    PairingPlan,
    RefPointEstimator,
)
from halo_trainer.dealing import deal
from halo_trainer.distributed import Ranks
from halo_trainer.encoded import EncodedCompletion, EncodedExample
from halo_trainer.packing import PackedRow, Scored, pack


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


def estimate_reference_point(
    estimator: RefPointEstimator,
    examples: Sequence[EncodedExample],
    following: Iterable[EncodedExample],
    fixed: Iterable[EncodedExample],
    rng: random.Random,
    state: Mapping[str, float],
    logratios: Logratios,
    max_length: int,
) -> Estimate:
    """Returns the reference point of a global batch.

    Args:
        estimator: Chooses the pairs and makes one number of their log-ratios.
        examples: The global batch, in global order.
        following: The next examples of the epoch, nearest first.
        fixed: The fixed partners of the batch; none unless the estimator wants them.
        rng: The chance of the pairs.
        state: What the estimator returned at the step before.
        logratios: Scores the pairs.
        max_length: A pair that is longer loses the end of its completion.

    Raises:
        NotFiniteError: When a log-ratio or the estimate is not a number.
        PluginError: When the estimator names a completion that is not in the plan.
    """
    parts = [_completions(part) for part in (examples, following, fixed)]
    plan = PairingPlan(*([Candidate(e.prompt_id, c.completion_id) for e, c in p] for p in parts))
    pool = [completion for part in parts for completion in part]
    pairs = estimator.pairs(plan, rng)
    _check(estimator, pairs, len(pool))
    sequences = [_joined(pool[p.prompt][1], pool[p.completion][1], max_length) for p in pairs]
    ratios = logratios.of(sequences)
    bad = [pair for pair, ratio in zip(pairs, ratios, strict=True) if not math.isfinite(ratio)]
    if bad:
        names = ", ".join(
            f"{pool[p.prompt][0].id} with {pool[p.completion][0].id}" for p in bad[:5]
        )
        raise NotFiniteError(
            f"the log-ratio of {len(bad)} mismatched pairs is not a number: the prompt of {names}"
        )
    lengths = [len(sequence.completion_ids) for sequence in sequences]
    estimate = estimator.estimate(Observed(ratios, lengths, pairs, len(parts[0])), state)
    if not math.isfinite(estimate.value):
        raise NotFiniteError(f"{type(estimator).__name__} estimated {estimate.value}")
    return estimate


def _completions(
    examples: Iterable[EncodedExample],
) -> list[tuple[EncodedExample, EncodedCompletion]]:
    return [(example, completion) for example in examples for completion in example.completions]


def _joined(prompt: EncodedCompletion, completion: EncodedCompletion, max_length: int) -> Scored:
    room = max(1, max_length - len(prompt.prompt_ids))
    return Scored(prompt.prompt_ids, completion.completion_ids[:room])


def _check(estimator: RefPointEstimator, pairs: Sequence[Pair], size: int) -> None:
    for pair in pairs:
        if not (0 <= pair.prompt < size and 0 <= pair.completion < size):
            raise PluginError(
                f"{type(estimator).__name__} asked for {pair}; positions go from 0 to {size - 1}",
                location=f"{type(estimator).__module__}.{type(estimator).__qualname__}",
            )
