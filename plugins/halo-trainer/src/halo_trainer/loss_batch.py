"""From encoded examples to what a loss sees."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from halo_core.loss import LossBatch
from halo_trainer.encoded import EncodedExample
from halo_trainer.packing import PackedRow, Scored, pack
from halo_trainer.scorer import Scores


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
