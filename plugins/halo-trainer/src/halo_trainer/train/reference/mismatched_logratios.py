"""The log-ratios of sequences that only the reference point needs, above all mismatched pairs.

There are two ways, which give the same up to rounding. `logratios` computes the sequences in a
first pass, each prompt with its completion. `logratios_after_own_pass` begins with the gradient
pass of the batch's own completions. Each mismatched completion then continues the prompt of that
pass, and only its own tokens are computed.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from halo_core.guarded.loss_calls import changed_logratios
from halo_trainer.batch.batch_plan import even_bins, split_into_micro_batches
from halo_trainer.batch.micro_batch import Computed, GlobalBatch
from halo_trainer.batch.packing import PackedRow, Scored, pack, pack_onto
from halo_trainer.model.scorer import without_dropout
from halo_trainer.train.objective import Objective


def logratios(objective: Objective, sequences: Sequence[Scored]) -> list[float]:
    """Returns the log-ratio of each sequence as changed by the loss, without gradient.

    Args:
        objective: Scores the sequences.
        sequences: The sequences, the same on every process.

    Returns:
        Log-ratios in nats, in order, the same on every process.
    """
    ranks = objective.ranks
    sizes = [sequence.tokens for sequence in sequences]
    budget = objective.micro_batch_tokens
    shares = split_into_micro_batches(sizes, budget=budget, ranks=ranks.world)
    values = torch.zeros(len(sequences), dtype=torch.float64, device=ranks.device)
    for items in shares[ranks.rank]:
        # An empty one is also computed, so that all processes make the same calls.
        row = pack([sequences[i] for i in items or [0]], share=objective.shares).to(ranks.device)
        found = _of_row(objective, row, row)[: len(items)]
        values.index_copy_(0, ranks.positions(items), found)
    values_of_all: list[float] = ranks.sum(values).tolist()
    return values_of_all


def logratios_after_own_pass(
    objective: Objective,
    batch: GlobalBatch,
    prompts: Sequence[int],
    sequences: Sequence[Scored],
) -> tuple[dict[int, Computed], list[float]]:
    """Returns the results of the batch's own completions, and the same as `logratios`.

    Each process computes the sequences whose prompts are in its share of the batch, in as many rows
    as the token budget asks for.

    Args:
        objective: Scores the sequences, and allows this way; see `Objective.keeps_prompts`.
        batch: The global batch.
        prompts: The completion of the batch, or a number after its last one, that has the prompt of
            each sequence.
        sequences: The sequences, the same on every process.
    """
    assert objective.reference is not None
    ranks = objective.ranks
    micro = objective.micro_batch(batch, 0)
    policy_row, reference_row = micro.row.keeping(), micro.row.keeping()
    with objective.synchronised(batch, 0):
        scores = objective.policy(policy_row)
    reference_logps = objective.reference.token_logps(reference_row)
    values = torch.zeros(len(sequences), dtype=torch.float64, device=ranks.device)
    for items in _rows_of_rank(objective, batch, prompts, sequences):
        # An empty one is also computed, so that all processes make the same calls.
        row = pack_onto(micro.row, [sequences[i] for i in items or [0]]).to(ranks.device)
        found = _of_row(objective, row.onto(policy_row), row.onto(reference_row))
        values.index_copy_(0, ranks.positions(items), found[: len(items)])
    computed = {0: Computed(scores, reference_logps)}
    return computed, ranks.sum(values).tolist()


def _rows_of_rank(
    objective: Objective,
    batch: GlobalBatch,
    prompts: Sequence[int],
    sequences: Sequence[Scored],
) -> list[list[int]]:
    """Returns the sequences of each row of this process. All processes have as many rows."""
    ranks, count = objective.ranks, len(batch.completions)
    # A continued prompt is not computed again.
    sizes = [
        len(sequence.completion_ids) if prompt < count else sequence.tokens
        for prompt, sequence in zip(prompts, sequences, strict=True)
    ]
    rows, mine = 1, []
    for rank in range(ranks.world):
        own = {position for part in batch.completion_positions(rank) for position in part}
        items = [
            i
            for i, prompt in enumerate(prompts)
            if prompt in own or (prompt >= count and prompt % ranks.world == rank)
        ]
        budget = objective.micro_batch_tokens
        (needed,) = split_into_micro_batches([sizes[i] for i in items], budget=budget, ranks=1)
        rows = max(rows, len(needed))
        if rank == ranks.rank:
            mine = items
    return [[mine[i] for i in part] for part in even_bins([sizes[i] for i in mine], rows)]


def _of_row(objective: Objective, policy_row: PackedRow, reference_row: PackedRow) -> Tensor:
    """Returns the log-ratio of each sequence of a row, float64 [B]."""
    assert objective.reference is not None
    with torch.no_grad(), without_dropout(objective.policy):
        policy: Tensor = objective.policy(policy_row).token_logps
    token_logratios = policy - objective.reference.token_logps(reference_row)
    return policy_row.summed(changed_logratios(objective.loss, token_logratios)).double()
