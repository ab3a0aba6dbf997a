"""Checks without waiting that the logits that tokens are drawn from form a distribution."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class BadLogits:
    """Logits from which no token can be drawn.

    Attributes:
        row: Row of the batch, from 0.
        position: Position in the completion, from 0.
        what: Description of the values.
    """

    row: int
    position: int
    what: str


class LogitWatch:
    """Records, on the device, where the logits of a batch first were not a distribution.

    They are not a distribution if one is NaN or +inf, or if all are -inf. The largest logit then
    has this value. Logits after the end of a completion do not count. Only `first` waits for the
    device.

    Args:
        rows: Number of prompts in the batch.
        ends: Ids of the tokens that end a completion.
        device: Device of the logits.
    """

    def __init__(self, rows: int, ends: Sequence[int], device: torch.device) -> None:
        self._ends = torch.tensor(ends, device=device)
        self._all = torch.arange(rows, device=device)
        self._ended = torch.zeros(rows, dtype=torch.bool, device=device)
        self._position = torch.full((rows,), -1, device=device)
        self._largest = torch.zeros(rows, device=device)

    def see(self, logits: Tensor, position: int | Tensor, rows: Tensor | None = None) -> Tensor:
        """Returns logits that a token can be drawn from. Bad rows get equal logits [R, V].

        Args:
            logits: Scores of the next token [R, V].
            position: Position in the completion, from 0, of all rows or of each [R].
            rows: The rows of the batch that have logits [R]; None for all.
        """
        at = self._all if rows is None else rows
        largest = logits.amax(-1).float()
        bad = ~largest.isfinite()
        known = self._position[at]
        found = bad & ~self._ended[at] & (known < 0)
        self._position[at] = torch.where(found, position, known)
        self._largest[at] = torch.where(found, largest, self._largest[at])
        return logits.masked_fill(bad[:, None], 0)

    def drew(self, tokens: Tensor, rows: Tensor | None = None) -> None:
        """Records the tokens that were drawn from the last logits.

        Args:
            tokens: The tokens [R].
            rows: Row of each token among those of the logits [R]; None for all rows in order.
        """
        at = self._all if rows is None else rows
        self._ended[at] = self._ended[at] | (tokens[:, None] == self._ends).any(-1)

    def any(self) -> Tensor:
        """Returns whether there were bad logits, on the device []."""
        return (self._position >= 0).any()

    def first(self) -> BadLogits | None:
        """Returns the earliest bad logits, of the first such row. It waits for the device."""
        positions, largest = self._position.tolist(), self._largest.tolist()
        bad = [(position, row) for row, position in enumerate(positions) if position >= 0]
        if not bad:
            return None
        position, row = min(bad)
        value = largest[row]
        what = "NaN" if value != value else "+inf" if value > 0 else "all -inf"
        return BadLogits(row, position, what)
