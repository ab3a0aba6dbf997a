"""From examples to what a loss sees: the global batch, and what is computed of it at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate
from typing import Any, NamedTuple

import torch
from torch import Tensor

from halo_core.loss import LossBatch
from halo_core.reference_point import Estimate
from halo_trainer.batch.packing import PackedRow, Scored, pack
from halo_trainer.encode.examples import EncodedExample


class Scores(NamedTuple):
    """What a scorer gives for a row.

    Attributes:
        token_logps: Log-probability of each completion token, nats, float32 [N].
        heads: What each head gives, by name, float32 [N] or [B].
    """

    token_logps: Tensor
    heads: Mapping[str, Tensor]


@dataclass(frozen=True)
class MicroBatch:
    """The examples that a process computes at a time.

    Attributes:
        examples: At least one.
        row: Their completions, packed, in order.
        example_index: The example, 0..E-1, of each completion [B].
        desirable: Whether each completion is desirable [B] bool.
        sampled: Whether each is a sample of the reference [B] bool; None where none is.
    """

    examples: Sequence[EncodedExample]
    row: PackedRow
    example_index: Tensor
    desirable: Tensor
    sampled: Tensor | None

    def to(self, device: torch.device) -> MicroBatch:
        """Returns it with all tensors on a device."""
        moved: dict[str, Any] = {
            name: value.to(device, non_blocking=True)
            for name, value in vars(self).items()
            if isinstance(value, Tensor)
        }
        return replace(self, **moved, row=self.row.to(device))


def collate(examples: Sequence[EncodedExample], *, ends: bool = False) -> MicroBatch:
    """Returns examples as a micro-batch on the CPU.

    Args:
        examples: At least one.
        ends: Whether some head looks at the last token of each completion.
    """
    completions = [(i, c) for i, example in enumerate(examples) for c in example.completions]
    sampled = [c.sampled for _, c in completions]
    return MicroBatch(
        examples=examples,
        row=pack([Scored(c.prompt_ids, c.completion_ids) for _, c in completions], ends=ends),
        example_index=torch.tensor([i for i, _ in completions]),
        desirable=torch.tensor([c.desirable for _, c in completions], dtype=torch.bool),
        sampled=torch.tensor(sampled, dtype=torch.bool) if any(sampled) else None,
    )


def tokens_of(example: EncodedExample) -> int:
    """Returns how many tokens a model computes for an example."""
    return sum(Scored(c.prompt_ids, c.completion_ids).tokens for c in example.completions)


def loss_batch(
    micro: MicroBatch,
    scores: Scores,
    reference_token_logps: Tensor | None,
    reference_point: float | None,
    statistics: Mapping[str, Tensor],
) -> LossBatch:
    """Returns what a loss sees of a micro-batch.

    Args:
        micro: On the device of the log-probabilities.
        scores: Of the policy.
        reference_token_logps: Nats [N]; None where the loss needs none.
        reference_point: Of the global batch, nats; None where the loss needs none.
        statistics: Of the global batch.
    """
    point = None
    if reference_point is not None:
        point = scores.token_logps.new_tensor(reference_point)
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
    )


Settle = Callable[[Sequence[float]], Estimate]
"""From the log-ratio of each completion of a global batch, in order, to its reference point."""


class Computed(NamedTuple):
    """What is known of a micro-batch before its turn.

    Attributes:
        scores: Of the policy; None where they have to be computed again, with a gradient.
        reference_logps: Of each completion token under the reference, nats [N].
    """

    scores: Scores | None
    reference_logps: Tensor


@dataclass(frozen=True)
class Prepared:
    """A global batch, ready to be computed.

    Attributes:
        examples: Of the whole batch, in global order.
        places: The micro-batches of this process, as positions of examples in the batch; an empty
            one has to be computed as well, so that all processes make the same calls.
        tokens: What a model computes once for the whole batch.
        estimate: The reference point; None where the loss needs none for the whole batch.
        settle: Completes the estimate after the gradient pass, from the log-ratios that the pass
            gave; None where it is complete.
        statistics: The loss's sums over the whole batch; empty where it needs none.
        computed: What is known of micro-batches already, by their number.
    """

    examples: Sequence[EncodedExample]
    places: Sequence[Sequence[int]]
    tokens: int
    estimate: Estimate | None = None
    settle: Settle | None = None
    statistics: Mapping[str, Tensor] = field(default_factory=dict)
    computed: Mapping[int, Computed] = field(default_factory=dict)

    def examples_of(self, call: int) -> list[EncodedExample]:
        """Returns the examples of a micro-batch of this process by its number."""
        return [self.examples[i] for i in self.places[call]]

    def completions(self) -> list[list[int]]:
        """Returns the positions of each micro-batch's completions among those of the batch."""
        counts = [len(example.completions) for example in self.examples]
        starts = [0, *accumulate(counts)]
        return [[k for i in part for k in range(starts[i], starts[i + 1])] for part in self.places]
