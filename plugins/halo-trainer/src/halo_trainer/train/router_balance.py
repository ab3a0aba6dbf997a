"""The load of experts over a global batch, and each micro-batch's part in the loss on it.

The loss is a product of two means over all tokens. With the shares of the experts known before the
gradient, it is linear in the probabilities, so that micro-batches add up to the loss of the global
batch: it does not depend on how that was cut, packed or dealt to processes.
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
    """What the routers did with a global batch.

    Attributes:
        loss: The load-balancing loss of the global batch.
        chosen: How often each expert was chosen, over all layers [experts].
        rows: Tokens times layers [].
        factor: What a part is multiplied by, since the trainer divides by the sum of weights.
    """

    loss: float
    chosen: Tensor
    rows: Tensor
    factor: float

    def part(self, routed: Routed) -> Tensor:
        """Returns what a micro-batch adds to the sum that is differentiated []."""
        probabilities = routed.probabilities.to(self.chosen.dtype)
        return self.factor * balance_loss(self.chosen, probabilities, self.rows)


def router_balance(objective: Objective, batch: GlobalBatch) -> RouterBalance:
    """Returns what the routers do with a global batch, by a pass without gradient and dropout.

    Args:
        objective: The models and the loss.
        batch: With all that is known of it before the gradient.
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
            # An empty micro-batch is computed, for the other processes, and not counted.
            sums.append(torch.cat([x.double().flatten() for x in part]) * bool(positions))
    total = objective.ranks.sum(torch.stack(sums).sum(0))
    experts = (len(total) - 2) // 2
    chosen, probabilities = total[:experts], total[experts : 2 * experts]
    rows, weight_sum = total[-2], total[-1]
    return RouterBalance(
        loss=float(balance_loss(chosen, probabilities, rows)),
        chosen=chosen,
        rows=rows,
        factor=objective.router_weight * float(weight_sum),
    )
