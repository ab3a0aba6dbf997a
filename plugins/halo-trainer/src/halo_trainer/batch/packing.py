"""Sequences packed one after another into one row without padding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from halo_trainer.batch.attention import AttentionLayout

Ids = npt.NDArray[np.int32]


class Scored(NamedTuple):
    """A sequence with a completion to score.

    Attributes:
        prompt_ids: Token ids of the prompt, at least one [prompt tokens].
        completion_ids: Token ids of the completion, at least one [completion tokens].
    """

    prompt_ids: Ids
    completion_ids: Ids

    @property
    def tokens(self) -> int:
        """Number of tokens that a model computes. The last one predicts nothing."""
        return len(self.prompt_ids) + len(self.completion_ids) - 1


@dataclass(frozen=True)
class PackedRow:
    """Sequences in one row, one after another, and the positions that are scored.

    Attributes:
        input_ids: Tokens of all sequences, each without its last one unless there are `ends` [T].
        position_ids: Position of each token in its own sequence [T].
        sequence_ids: The sequence, 0..B-1, of each token [T].
        scored: Positions in the row whose next token is a completion token [N].
        targets: The next token of each scored position [N].
        sequence_index: The sequence, 0..B-1, of each scored position [N].
        layout: The attention layout, which says which tokens belong together.
        ends: Position of each sequence's last token [B]; None if it is not needed.
    """

    input_ids: Tensor
    position_ids: Tensor
    sequence_ids: Tensor
    scored: Tensor
    targets: Tensor
    sequence_index: Tensor
    layout: AttentionLayout
    ends: Tensor | None = None

    @property
    def sequences(self) -> int:
        """Number of sequences, B."""
        return sum(block.size for block in self.layout.blocks)

    def summed(self, token_values: Tensor) -> Tensor:
        """Returns the sum of the scored positions' values over each sequence, [N] to [B]."""
        zeros = token_values.new_zeros(self.sequences)
        return zeros.index_add(0, self.sequence_index, token_values)

    def to(self, device: torch.device) -> PackedRow:
        """Returns the row with all its tensors on a device."""
        if device == self.input_ids.device:
            return self
        moved = {
            name: value.to(device, non_blocking=True)
            for name, value in vars(self).items()
            if isinstance(value, Tensor)
        }
        return replace(self, **moved, layout=self.layout.to(device))


def pack(sequences: Sequence[Scored], *, ends: bool = False) -> PackedRow:
    """Returns sequences packed into one row, in order.

    Args:
        sequences: At least one sequence.
        ends: Whether the row also has each sequence's last token, which predicts nothing.
    """
    lengths = [sequence.tokens + ends for sequence in sequences]
    starts = np.cumsum([0, *lengths[:-1]])
    completions = [len(sequence.completion_ids) for sequence in sequences]
    # The last token predicts nothing, so it is computed only if a head needs it.
    stop = None if ends else -1
    inputs = [ids for s in sequences for ids in (s.prompt_ids, s.completion_ids[:stop])]
    scored = [
        np.arange(start + len(s.prompt_ids) - 1, start + s.tokens)
        for start, s in zip(starts, sequences, strict=True)
    ]
    return PackedRow(
        input_ids=_tensor(np.concatenate(inputs)),
        position_ids=_tensor(np.concatenate([np.arange(length) for length in lengths])),
        sequence_ids=_tensor(np.repeat(np.arange(len(sequences)), lengths)),
        scored=_tensor(np.concatenate(scored)),
        targets=_tensor(np.concatenate([s.completion_ids for s in sequences])),
        sequence_index=_tensor(np.repeat(np.arange(len(sequences)), completions)),
        layout=AttentionLayout.of(lengths),
        ends=_tensor(np.cumsum(lengths) - 1) if ends else None,
    )


def _tensor(values: npt.NDArray[np.integer]) -> Tensor:
    return torch.from_numpy(values.astype(np.int64, copy=False))
