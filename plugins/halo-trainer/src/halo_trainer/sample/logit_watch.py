"""Whether the logits that tokens are drawn from are a distribution, told without waiting."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class BadLogits:
    """Logits from which no token can be drawn.

    Attributes:
        row: Of the batch, from 0.
        position: Of the completion, from 0.
        what: What they are, in words.
    """

    row: int
    position: int
    what: str


class LogitWatch:
    """Remembers, on the device, where the logits of a batch were first no distribution.

    They are none where one is NaN or +inf, or where all are -inf: their largest then is that. What
    comes behind the end of a completion does not count. Nothing waits for the device before
    `first`.

    Args:
        rows: Prompts of the batch.
        ends: Ids of the tokens that end a completion.
        device: Where the logits are.
    """

    def __init__(self, rows: int, ends: Sequence[int], device: torch.device) -> None:
        self._ends = torch.tensor(ends, device=device)
        self._ended = torch.zeros(rows, dtype=torch.bool, device=device)
        self._position = torch.full((rows,), -1, device=device)
        self._largest = torch.zeros(rows, device=device)

    def see(self, logits: Tensor, position: int) -> Tensor:
        """Returns logits that a token can be drawn from: equal ones in rows that have none [B, V].

        Args:
            logits: Scores of the next token [B, V].
            position: Of the completion, from 0.
        """
        largest = logits.amax(-1).float()
        bad = ~largest.isfinite()
        found = bad & ~self._ended & (self._position < 0)
        self._position = torch.where(found, position, self._position)
        self._largest = torch.where(found, largest, self._largest)
        return logits.masked_fill(bad[:, None], 0)

    def drew(self, tokens: Tensor) -> None:
        """Takes in what was drawn from the logits that were seen last [B]."""
        self._ended = self._ended | (tokens[:, None] == self._ends).any(-1)

    def any(self) -> Tensor:
        """Returns whether there were such logits, on the device []."""
        return (self._position >= 0).any()

    def first(self) -> BadLogits | None:
        """Returns the earliest of them, of the first row that has them there; waits."""
        positions, largest = self._position.tolist(), self._largest.tolist()
        bad = [(position, row) for row, position in enumerate(positions) if position >= 0]
        if not bad:
            return None
        position, row = min(bad)
        value = largest[row]
        what = "NaN" if value != value else "+inf" if value > 0 else "all -inf"
        return BadLogits(row, position, what)
