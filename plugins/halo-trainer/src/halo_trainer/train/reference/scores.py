"""The log-probabilities of a reference model."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from halo_trainer.batch.packing import PackedRow
from halo_trainer.model.scorer import Scorer
from halo_trainer.sharding.shard import forget_passes


class Reference(Protocol):
    """A reference model, as a function from packed rows to log-probabilities."""

    @property
    def shares(self) -> bool:
        """Whether rows may contain prompts that several completions share."""
        ...

    def token_logps(self, row: PackedRow) -> Tensor:
        """Returns the log-probability of each completion token of a row, nats, float32 [N]."""
        ...


class LiveReference:
    """A reference that is computed in every step.

    Args:
        scorer: The frozen model.

    Attributes:
        scorer: The frozen model.
    """

    def __init__(self, scorer: Scorer) -> None:
        self.scorer = scorer

    @property
    def shares(self) -> bool:
        """Whether the model computes a prompt once for several completions."""
        return self.scorer.shares

    def token_logps(self, row: PackedRow) -> Tensor:
        """Returns the log-probability of each completion token of a row, nats, float32 [N].

        A row that the policy computes is computed alike. So a reference with the policy's weights
        gives the policy's bits.
        """
        with torch.no_grad():
            logps: Tensor = self.scorer(row).token_logps
        forget_passes(self.scorer)
        return logps
