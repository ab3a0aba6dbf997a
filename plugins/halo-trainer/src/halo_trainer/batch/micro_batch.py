"""From examples to the input of a loss: global batches and micro-batches."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from halo_core.guarded.reference_point_calls import points_within
from halo_core.loss import Facts, LossBatch, Need, OnHost
from halo_core.reference_point import Estimate, RefPointEstimator
from halo_trainer.batch.batch_plan import split_into_micro_batches
from halo_trainer.batch.packing import PackedRow, Scored, pack, tokens_in_row
from halo_trainer.encode.examples import EncodedCompletion, EncodedExample


class Routed(NamedTuple):
    """Router statistics of some tokens for all layers, as sums over tokens and layers.

    Attributes:
        chosen: Number of times that each expert was chosen, no gradient, float32 [experts].
        probabilities: Sum of each expert's probabilities, float32 [experts].
        rows: Number of tokens times layers [].
    """

    chosen: Tensor
    probabilities: Tensor
    rows: Tensor


class Scores(NamedTuple):
    """The output of a scorer for a row.

    Attributes:
        token_logps: Log-probability of each completion token, nats, float32 [N].
        heads: Outputs of the heads by name, float32 [N] or [B].
        routed: Router statistics; None if they are not needed.
    """

    token_logps: Tensor
    heads: Mapping[str, Tensor]
    routed: Routed | None = None

    def detached(self) -> Scores:
        """Returns log-probabilities and head outputs without a gradient."""
        heads = {name: values.detach() for name, values in self.heads.items()}
        return Scores(self.token_logps.detach(), heads)


def joined(parts: Sequence[Scores]) -> Scores:
    """Returns the scores of rows as those of one row that has all their sequences, in order.

    Args:
        parts: The scores of at least one row.
    """
    heads = {name: torch.cat([part.heads[name] for part in parts]) for name in parts[0].heads}
    found = [part.routed for part in parts if part.routed is not None]
    routed = Routed(*(sum(values) for values in zip(*found, strict=True))) if found else None
    return Scores(torch.cat([part.token_logps for part in parts]), heads, routed)


class Computed(NamedTuple):
    """Results for a micro-batch that are known before its gradient.

    Attributes:
        scores: The policy's scores; None if they must be computed again with a gradient.
        reference_logps: Log-probability of each completion token under the reference, nats [N].
    """

    scores: Scores | None
    reference_logps: Tensor


class Lagging(NamedTuple):
    """A reference point from earlier steps, to be updated with this step's log-ratios.

    Attributes:
        estimator: Estimates the next point.
        state: State of the estimator after the step before.
    """

    estimator: RefPointEstimator
    state: Mapping[str, float]


@dataclass(frozen=True)
class GlobalBatch:
    """The examples of one optimiser step, and results that are known before the gradient.

    Attributes:
        examples: All examples of the batch, in global order.
        shares: Micro-batches of each process, as positions of examples in the batch. Empty ones
            must also be computed, so that all processes make the same calls.
        rank: Rank of this process, from 0.
        tokens: Number of tokens of prompts and completions in the whole batch.
        estimate: The reference point; None if the loss needs none for the whole batch.
        lagging: Set if the estimate is completed after the gradient; None if it is complete.
        point_of_pair: Gives each pair its own reference point; None if pairs have none.
        statistics: The loss's sums over the whole batch; empty if it needs none.
        computed: Results that are already known, by index of the micro-batch.
    """

    examples: Sequence[EncodedExample]
    shares: Sequence[Sequence[Sequence[int]]]
    rank: int
    tokens: int
    estimate: Estimate | None = None
    lagging: Lagging | None = None
    point_of_pair: RefPointEstimator | None = None
    statistics: Mapping[str, Tensor] = field(default_factory=dict)
    computed: Mapping[int, Computed] = field(default_factory=dict)

    @property
    def micro_batches(self) -> Sequence[Sequence[int]]:
        """Micro-batches of this process, as positions of examples in the batch."""
        return self.shares[self.rank]

    @property
    def completions(self) -> list[tuple[EncodedExample, EncodedCompletion]]:
        """The completions of the whole batch with their examples, in global order."""
        return completions_of(self.examples)

    def completion_positions(self, rank: int) -> list[list[int]]:
        """Returns the positions of a micro-batch's completions in the batch's completions.

        Args:
            rank: The process whose micro-batches are meant.
        """
        starts = [0, *accumulate(len(example.completions) for example in self.examples)]
        return [
            [k for i in part for k in range(starts[i], starts[i + 1])] for part in self.shares[rank]
        ]


def global_batch(
    examples: Sequence[EncodedExample], *, budget: int, rank: int, ranks: int, share: bool
) -> GlobalBatch:
    """Returns a global batch, with the share of this process.

    Args:
        examples: The whole batch, in global order.
        budget: Largest number of tokens of a micro-batch.
        rank: Rank of this process, from 0.
        ranks: Number of processes.
        share: Whether the completions of an example share its prompt.
    """
    sizes = [computed_tokens(example, share=share) for example in examples]
    shares = split_into_micro_batches(sizes, budget=budget, ranks=ranks)
    tokens = sum(computed_tokens(example, share=False) for example in examples)
    return GlobalBatch(examples, shares, rank, tokens)


def completions_of(
    examples: Iterable[EncodedExample],
) -> list[tuple[EncodedExample, EncodedCompletion]]:
    """Returns the completions of examples, in order, each with its example."""
    return [(example, completion) for example in examples for completion in example.completions]


def computed_tokens(example: EncodedExample, *, share: bool) -> int:
    """Returns the number of tokens that a model computes for an example.

    Args:
        example: The example.
        share: Whether its completions share its prompt.
    """
    sequences = [Scored(c.prompt_ids, c.completion_ids) for c in example.completions]
    return tokens_in_row(sequences, share=share)


@dataclass(frozen=True)
class MicroBatch:
    """The examples that a process computes at one time.

    Attributes:
        examples: At least one example. An empty micro-batch has any example, with no effect.
        row: The examples' completions, packed, in order.
        example_index: The example, 0..E-1, of each completion [B].
        desirable: Whether each completion is desirable [B] bool.
        sampled: Whether each is a sample of the reference [B] bool; None if none is.
        scores: The score of each, float64 [B]; None unless the feedback is scored.
        sampler_token_logps: Log-probability of each completion token under the model that sampled
            it, nats [N]; None if it is not known for all.
    """

    examples: Sequence[EncodedExample]
    row: PackedRow
    example_index: Tensor
    desirable: Tensor
    sampled: Tensor | None
    scores: Tensor | None = None
    sampler_token_logps: Tensor | None = None

    @property
    def on_host(self) -> OnHost:
        """Facts on the completions, in host memory."""
        completions = [c for example in self.examples for c in example.completions]
        facts = Facts(
            lengths=[len(c.completion_ids) for c in completions],
            desirable=[c.desirable for c in completions],
            sampled=[c.sampled for c in completions],
        )
        return OnHost(facts, self.row.sequence_index, self.desirable, self.sampled)

    def to(self, device: torch.device) -> MicroBatch:
        """Returns the micro-batch with all tensors on a device."""
        moved: dict[str, Any] = {
            name: value.to(device, non_blocking=True)
            for name, value in vars(self).items()
            if isinstance(value, Tensor)
        }
        return replace(self, **moved, row=self.row.to(device))


def collate(
    examples: Sequence[EncodedExample], *, ends: bool = False, share: bool = True
) -> MicroBatch:
    """Returns examples as a micro-batch on the CPU.

    Args:
        examples: At least one example.
        ends: Whether a head needs the last token of each completion.
        share: Whether completions share their prompt.
    """
    completions = [(i, c) for i, example in enumerate(examples) for c in example.completions]
    sampled = [c.sampled for _, c in completions]
    scores = [c.score for _, c in completions if c.score is not None]
    logps = [c.sampler_logps for _, c in completions if c.sampler_logps is not None]
    return MicroBatch(
        examples=examples,
        row=pack(
            [Scored(c.prompt_ids, c.completion_ids) for _, c in completions],
            ends=ends,
            share=share,
        ),
        example_index=torch.tensor([i for i, _ in completions]),
        desirable=torch.tensor([c.desirable for _, c in completions], dtype=torch.bool),
        sampled=torch.tensor(sampled, dtype=torch.bool) if any(sampled) else None,
        scores=(
            torch.tensor(scores, dtype=torch.float64) if len(scores) == len(completions) else None
        ),
        sampler_token_logps=(
            torch.from_numpy(np.concatenate(logps)) if len(logps) == len(completions) else None
        ),
    )


def make_loss_batch(
    micro: MicroBatch,
    scores: Scores,
    reference_token_logps: Tensor | None,
    estimate: Estimate | None,
    statistics: Mapping[str, Tensor],
    needed: Collection[Need],
) -> LossBatch:
    """Returns the input of a loss for a micro-batch.

    Args:
        micro: The micro-batch, on the device of the log-probabilities.
        scores: The policy's scores.
        reference_token_logps: Reference log-probabilities, nats [N]; None if the loss needs none.
        estimate: The reference point of the global batch; None if the loss needs none.
        statistics: The loss's sums over the global batch.
        needed: The needs of the loss.
    """
    # A fill makes no GPU wait, while a new tensor of a number does.
    point = None if estimate is None else scores.token_logps.new_full((), estimate.value)
    return LossBatch(
        policy_token_logps=scores.token_logps,
        sequence_index=micro.row.sequence_index,
        example_index=micro.example_index,
        desirable=micro.desirable,
        reference_token_logps=reference_token_logps,
        reference_point=point,
        sampled=micro.sampled,
        heads=scores.heads,
        statistics=statistics,
        on_host=micro.on_host,
        scores=micro.scores if "scores" in needed else None,
        sampler_token_logps=micro.sampler_token_logps if "sampler_logps" in needed else None,
        example_count=len(micro.examples),
    )


def chosen_with_points(pairs: LossBatch, estimator: RefPointEstimator) -> LossBatch:
    """Returns the chosen completions of pairs, each with the reference point of its pair.

    With this, a loss on binary feedback learns from pairs. The rejected completions are only part
    of the points, and a gradient flows through them.

    Args:
        pairs: The loss input of the pairs.
        estimator: An estimator that observes each pair.

    Raises:
        PluginError: When the estimator returns a different number of points than pairs.
    """
    points = points_within(estimator, *pairs.of_pairs(pairs.logratios))
    return replace(pairs.only_desirable(), reference_point=points)
