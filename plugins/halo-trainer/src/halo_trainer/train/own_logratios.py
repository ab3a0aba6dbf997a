"""The log-ratios of a batch's own completions, out of passes that are made anyway.

A reference point that is estimated on the batch's own completions needs what the gradient pass
computes. Where it is lagged, from earlier steps alone, that pass serves it afterwards. Where
it has to be known before the loss, a first pass is needed, and what of it can be kept is not
computed again: all that the reference gave, and what the policy gave for one micro-batch, whose
backward follows at once. To keep the policy's for several would be to hold the activations of all
of them, which is what micro-batches are there to avoid. Without gradients all of it is kept.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

import torch
from torch import Tensor, nn

from halo_trainer.batch.micro_batch import Computed, MicroBatch, Prepared
from halo_trainer.model.scorer import Scorer, evaluating
from halo_trainer.train.ranks import Ranks


class OwnLogratios:
    """Gathers the log-ratios of a global batch's completions, micro-batch by micro-batch.

    Args:
        prepared: The global batch.
        ranks: The processes.
    """

    def __init__(self, prepared: Prepared, ranks: Ranks) -> None:
        self._ranks = ranks
        self._places = prepared.completions()
        count = sum(len(example.completions) for example in prepared.examples)
        self._found = torch.zeros(count, dtype=torch.float64, device=ranks.device)

    def add(self, call: int, logratios: Tensor) -> None:
        """Takes in those of a micro-batch of this process, nats [B]; an empty one adds nothing."""
        places = self._places[call]
        self._found[places] = logratios.detach()[: len(places)].double()

    def of_all(self) -> list[float]:
        """Returns that of each completion, in global order, the same on every process."""
        values: list[float] = self._ranks.sum(self._found).tolist()
        return values


def first_pass(
    prepared: Prepared,
    ranks: Ranks,
    policy: nn.Module,
    reference: Scorer,
    *,
    micro_batch: Callable[[int], MicroBatch],
    synchronised: Callable[[int], AbstractContextManager[None]],
    change: Callable[[Tensor], Tensor],
) -> tuple[dict[int, Computed], list[float]]:
    """Returns what can be kept of each micro-batch, and the log-ratio of each completion.

    The first micro-batch is computed last, and with a gradient where there are gradients.

    Args:
        prepared: The global batch.
        ranks: The processes.
        policy: The scorer that is trained.
        reference: The frozen one.
        micro_batch: Gives a micro-batch of this process by its number.
        synchronised: The context that the gradient of a micro-batch is computed in.
        change: The loss's, of the log-ratios of tokens, nats [N].
    """
    own = OwnLogratios(prepared, ranks)
    computed = {}
    learning = torch.is_grad_enabled()
    for call in reversed(range(len(prepared.places))):
        micro = micro_batch(call)
        if learning and call == 0:
            with synchronised(call):
                scores = policy(micro.row)
        else:
            with torch.no_grad(), evaluating(policy):
                scores = policy(micro.row)
        with torch.no_grad():
            reference_logps = reference(micro.row).token_logps
        token_logratios = scores.token_logps.detach() - reference_logps
        own.add(call, micro.row.summed(change(token_logratios)))
        computed[call] = Computed(None if learning and call > 0 else scores, reference_logps)
    return computed, own.of_all()
