"""Sequences packed one after another into one row without padding, each prompt once.

Sequences with the same prompt share it: the first one is a whole segment of the row, and the others
are branches. A branch has its completion and the last token of the prompt, which predicts its first
token. It attends to the rest of the prompt in the segment of the first one. So each position that
is scored belongs to one sequence.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from halo_trainer.batch.attention import AttentionLayout, KeptKeys, Segment

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
        sequences: The sequences, in order [B].
        segments: The segment of each sequence, in host memory [B].
        input_ids: Tokens of all segments, each without its last one unless there are `ends` [T].
        position_ids: Position of each token in its own sequence [T].
        sequence_ids: The sequence, 0..B-1, whose segment has each token [T].
        scored: Positions in the row whose next token is a completion token [N].
        targets: The next token of each scored position [N].
        sequence_index: The sequence, 0..B-1, of each scored position [N].
        layout: The attention layout, which says which tokens belong together.
        ends: Position of each sequence's last token [B]; None if it is not needed.
        shared: Number of sequences that each token represents [T]; None if it is 1 for all.
    """

    sequences: tuple[Scored, ...]
    segments: tuple[Segment, ...]
    input_ids: Tensor
    position_ids: Tensor
    sequence_ids: Tensor
    scored: Tensor
    targets: Tensor
    sequence_index: Tensor
    layout: AttentionLayout
    ends: Tensor | None = None
    shared: Tensor | None = None

    def summed(self, token_values: Tensor) -> Tensor:
        """Returns the sum of the scored positions' values over each sequence [B].

        Args:
            token_values: A value of each scored position [N].
        """
        zeros = token_values.new_zeros(len(self.sequences))
        return zeros.index_add(0, self.sequence_index, token_values)

    def to(self, device: torch.device) -> PackedRow:
        """Returns the row with all its tensors on a device."""
        if device == self.input_ids.device:
            return self
        moved: dict[str, Any] = {
            name: value.to(device, non_blocking=True)
            for name, value in vars(self).items()
            if isinstance(value, Tensor)
        }
        return replace(self, **moved, layout=self.layout.to(device))

    def keeping(self) -> PackedRow:
        """Returns the row, whose keys and values are kept for a row that is packed onto it."""
        return replace(self, layout=replace(self.layout, kept=KeptKeys()))

    def onto(self, base: PackedRow) -> PackedRow:
        """Returns the row with the keys and values that a model has kept of its base."""
        return replace(self, layout=replace(self.layout, base=base.layout.kept))


class _Prompt(NamedTuple):
    """A prompt that is already in a row.

    Attributes:
        host: The sequence whose segment has it.
        start: Its first position among all keys: those of the base row, if any, and then the row's.
    """

    host: int
    start: int


def pack(sequences: Sequence[Scored], *, ends: bool = False, share: bool = True) -> PackedRow:
    """Returns sequences packed into one row, in order.

    Args:
        sequences: At least one sequence.
        ends: Whether the row also has each sequence's last token, which predicts nothing.
        share: Whether sequences with the same prompt share it. Dropout needs each by itself.
    """
    return _packed(sequences, {}, 0, ends=ends, share=share)


def pack_onto(base: PackedRow, sequences: Sequence[Scored]) -> PackedRow:
    """Returns sequences packed into a row whose prompts are, where possible, those of another row.

    The row can be computed only after the base, by the same model with the same weights; see
    `PackedRow.keeping` and `PackedRow.onto`.

    Args:
        base: A row.
        sequences: At least one sequence. One whose prompt is not in the base gets it again.
    """
    known: dict[bytes, _Prompt] = {}
    for i, (sequence, segment) in enumerate(zip(base.sequences, base.segments, strict=True)):
        if segment.prefix == 0:
            known[sequence.prompt_ids.tobytes()] = _Prompt(i, segment.start)
    return _packed(sequences, known, len(base.input_ids), ends=False, share=True)


def tokens_in_row(sequences: Sequence[Scored], *, share: bool) -> int:
    """Returns the number of tokens in the row that `pack` returns for sequences without `ends`."""
    tokens, prompts = 0, set()
    for sequence in sequences:
        tokens += sequence.tokens
        if share and sequence.prompt_ids.tobytes() in prompts:
            tokens -= len(sequence.prompt_ids) - 1
        prompts.add(sequence.prompt_ids.tobytes())
    return tokens


def _packed(
    sequences: Sequence[Scored],
    known: dict[bytes, _Prompt],
    base_tokens: int,
    *,
    ends: bool,
    share: bool,
) -> PackedRow:
    # The last token predicts nothing, so it is computed only if a head needs it.
    stop = None if ends else -1
    inputs: list[Ids] = []
    segments: list[Segment] = []
    shared: list[tuple[int, int]] = []
    offset = 0
    for i, (prompt, completion) in enumerate(sequences):
        name = prompt.tobytes()
        host = known.get(name) if share and len(prompt) > 1 else None
        if host is None:
            prefix = (0, 0)
            inputs += [prompt, completion[:stop]]
            known[name] = _Prompt(i, base_tokens + offset)
        else:
            prefix = (host.start, len(prompt) - 1)
            inputs += [prompt[-1:], completion[:stop]]
            shared.append(prefix)
        length = len(inputs[-2]) + len(inputs[-1])
        segments.append(Segment(offset, length, *prefix))
        offset += length
    lengths = [segment.length for segment in segments]
    completions = [len(sequence.completion_ids) for sequence in sequences]
    firsts = [
        segment.start + len(sequence.prompt_ids) - 1 - segment.prefix
        for segment, sequence in zip(segments, sequences, strict=True)
    ]
    scored = [np.arange(first, first + n) for first, n in zip(firsts, completions, strict=True)]
    return PackedRow(
        sequences=tuple(sequences),
        segments=tuple(segments),
        input_ids=_tensor(np.concatenate(inputs)),
        position_ids=_tensor(np.concatenate([s.prefix + np.arange(s.length) for s in segments])),
        sequence_ids=_tensor(np.repeat(np.arange(len(sequences)), lengths)),
        scored=_tensor(np.concatenate(scored)),
        targets=_tensor(np.concatenate([s.completion_ids for s in sequences])),
        sequence_index=_tensor(np.repeat(np.arange(len(sequences)), completions)),
        layout=AttentionLayout.of(segments, base_tokens=base_tokens),
        ends=_tensor(np.cumsum(lengths) - 1) if ends else None,
        shared=_stands_for(shared, base_tokens, offset),
    )


def _stands_for(shared: Sequence[tuple[int, int]], base_tokens: int, tokens: int) -> Tensor | None:
    """Returns the number of sequences that each token represents; None if it is 1 for all."""
    counts = np.ones(tokens, dtype=np.int64)
    for start, length in shared:
        if start >= base_tokens:
            counts[start - base_tokens : start - base_tokens + length] += 1
    return _tensor(counts) if (counts > 1).any() else None


def _tensor(values: npt.NDArray[np.integer]) -> Tensor:
    return torch.from_numpy(values.astype(np.int64, copy=False))
