"""The load of experts in a global batch, and each micro-batch's part of the loss on it.

The loss is a product of two means over all tokens. If the shares of the experts are known before
the gradient, it is linear in the probabilities. So the parts of the micro-batches add up to the
loss of the global batch, however it is cut, packed or distributed to processes.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from halo_trainer.batch.micro_batch import GlobalBatch, Routed
from halo_trainer.model.router import balance_loss
from halo_trainer.model.scorer import without_dropout
from halo_trainer.train.objective import Objective


@dataclass(frozen=True)
class RouterBalance:
    """Router statistics of a global batch.

    Attributes:
        loss: The load-balancing loss of the global batch [].
        chosen: Number of times that each expert was chosen, over all layers [experts].
        rows: Number of tokens times layers [].
        factor: Factor of a part, needed because the trainer divides by the sum of weights [].
    """

    loss: Tensor
    chosen: Tensor
    rows: Tensor
    factor: Tensor

    def part(self, routed: Routed) -> Tensor:
        """Returns the part of a micro-batch in the sum that is differentiated []."""
        probabilities = routed.probabilities.to(self.chosen.dtype)
        return self.factor * balance_loss(self.chosen, probabilities, self.rows)


def router_balance(objective: Objective, batch: GlobalBatch) -> RouterBalance:
    """Returns router statistics of a global batch, from a pass without gradient and dropout.

    Args:
        objective: The models and the loss.
        batch: The batch, with everything that is known before the gradient.
    """
    sums: list[Tensor] = []
    with torch.no_grad(), without_dropout(objective.policy):
        for index, positions in enumerate(batch.micro_batches):
            micro, known = objective.micro_batch(batch, index), batch.computed.get(index)
            scores = objective.scores(micro, known)
            _, output = objective.output(micro, batch, known, scores)
            assert scores.routed is not None
            weights = output.counts.double().sum()
            part = [*scores.routed, weights]
            # Other processes need an empty micro-batch to be computed, but it has no effect.
            sums.append(torch.cat([x.double().flatten() for x in part]) * bool(positions))
    total = objective.ranks.sum(torch.stack(sums).sum(0))
    experts = (len(total) - 2) // 2
    chosen, probabilities = total[:experts], total[experts : 2 * experts]
    rows, weight_sum = total[-2], total[-1]
    return RouterBalance(
        loss=balance_loss(chosen, probabilities, rows),
        chosen=chosen,
        rows=rows,
        factor=objective.router_weight * weight_sum,
    )
