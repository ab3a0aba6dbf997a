"""The log-ratios of a batch's own completions, from passes that are made anyway.

A reference point that is estimated on the batch's own completions needs results of the gradient
pass. A lagged point, from earlier steps only, gets them from that pass afterwards. A point that the
loss needs first requires a first pass. Some of its results are kept and not computed again: all
results of the reference, and the policy's for one micro-batch, whose backward pass follows at once.
To keep the policy's results for several would require the activations of all of them, which
micro-batches are meant to avoid. Without gradients all results are kept.
"""

from __future__ import annotations

import torch
from torch import Tensor

from halo_core.guarded.loss_calls import changed_logratios
from halo_trainer.batch.micro_batch import Computed, GlobalBatch
from halo_trainer.model.scorer import without_dropout
from halo_trainer.train.objective import Objective
from halo_trainer.train.ranks import Ranks


class OwnLogratios:
    """Gathers the log-ratios of a global batch's completions, micro-batch by micro-batch.

    Args:
        batch: The global batch.
        ranks: The processes.

    Attributes:
        values: The log-ratios of this process at their places in the batch, others 0, float64.
    """

    def __init__(self, batch: GlobalBatch, ranks: Ranks) -> None:
        self._ranks = ranks
        self._positions = batch.completion_positions(batch.rank)
        count = len(batch.completions)
        self.values = torch.zeros(count, dtype=torch.float64, device=ranks.device)

    def add(self, index: int, logratios: Tensor) -> None:
        """Adds the log-ratios of a micro-batch of this process, nats [B]; none if it is empty."""
        positions = self._ranks.positions(self._positions[index])
        self.values.index_copy_(0, positions, logratios.detach()[: len(positions)].double())

    def of_all(self) -> list[float]:
        """Returns each completion's log-ratio, in global order, the same on every process."""
        values: list[float] = self._ranks.sum(self.values).tolist()
        return values


def first_pass(objective: Objective, batch: GlobalBatch) -> tuple[dict[int, Computed], list[float]]:
    """Returns the results to keep of each micro-batch, and the log-ratio of each completion.

    The first micro-batch is computed last, and with a gradient if gradients are enabled.
    """
    assert objective.reference is not None
    own = OwnLogratios(batch, objective.ranks)
    computed = {}
    learning = torch.is_grad_enabled()
    # In reverse order, so that the first one's activations are ready for its gradient pass.
    for index in reversed(range(len(batch.micro_batches))):
        micro = objective.micro_batch(batch, index)
        if learning and index == 0:
            with objective.synchronised(batch, index):
                scores = objective.policy(micro.row)
        else:
            with torch.no_grad(), without_dropout(objective.policy):
                scores = objective.policy(micro.row)
        reference_logps = objective.reference.token_logps(micro.row)
        token_logratios = scores.token_logps.detach() - reference_logps
        own.add(index, micro.row.summed(changed_logratios(objective.loss, token_logratios)))
        computed[index] = Computed(None if learning and index > 0 else scores, reference_logps)
    return computed, own.of_all()
