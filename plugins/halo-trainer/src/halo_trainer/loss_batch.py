"""From encoded examples to what a loss sees."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from halo_core.loss import LossBatch
from halo_trainer.encoded import EncodedExample
from halo_trainer.packing import PackedRow, Scored, pack


@dataclass(frozen=True)
class MicroBatch:
    """The examples that a process computes at a time.

    Attributes:
        examples: At least one.
        row: Their completions, packed, in order.
        example_index: The example, 0..E-1, of each completion [B].
        desirable: Whether each completion is desirable [B] bool.
    """

    examples: Sequence[EncodedExample]
    row: PackedRow
    example_index: Tensor
    desirable: Tensor

    def to(self, device: torch.device) -> MicroBatch:
        """Returns it with all tensors on a device."""
        index = self.example_index.to(device, non_blocking=True)
        desirable = self.desirable.to(device, non_blocking=True)
        return replace(self, row=self.row.to(device), example_index=index, desirable=desirable)


def collate(examples: Sequence[EncodedExample]) -> MicroBatch:
    """Returns examples as a micro-batch on the CPU."""
    completions = [(i, c) for i, example in enumerate(examples) for c in example.completions]
    return MicroBatch(
        examples=examples,
        row=pack([Scored(c.prompt_ids, c.completion_ids) for _, c in completions]),
        example_index=torch.tensor([i for i, _ in completions]),
        desirable=torch.tensor([c.desirable for _, c in completions], dtype=torch.bool),
    )


def tokens_of(example: EncodedExample) -> int:
    """Returns how many tokens a model computes for an example."""
    return sum(Scored(c.prompt_ids, c.completion_ids).tokens for c in example.completions)


def loss_batch(
    micro: MicroBatch,
    policy_token_logps: Tensor,
    reference_token_logps: Tensor | None,
    reference_point: float | None,
) -> LossBatch:
    """Returns what a loss sees of a micro-batch.

    Args:
        micro: On the device of the log-probabilities.
        policy_token_logps: Nats [N].
        reference_token_logps: Nats [N]; None where the loss needs none.
        reference_point: Of the global batch, nats; None where the loss needs none.
    """
    point = None
    if reference_point is not None:
        point = policy_token_logps.new_tensor(reference_point)
    return LossBatch(
        policy_token_logps=policy_token_logps,
        sequence_index=micro.row.sequence_index,
        example_index=micro.example_index,
        desirable=micro.desirable,
        reference_token_logps=reference_token_logps,
        reference_point=point,
    )
