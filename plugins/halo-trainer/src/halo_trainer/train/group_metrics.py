"""Metrics of scored groups: their scores, and whether the policy orders completions as these do."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from halo_core.loss import LossBatch

AT_A_TIME = 1024
"""Number of completions that are compared with all others of the batch at a time."""

Metric = tuple[str, Tensor | float, Tensor | float]
"""Name, sum and count."""


def group_metrics(batch: LossBatch, rewards: Tensor | None) -> Iterator[Metric]:
    """Yields the metrics of a micro-batch of groups. No GPU is waited for.

    A pair is two completions of one group with different scores. Its margin is the reward of the
    higher score minus that of the lower one.

    Args:
        batch: The groups.
        rewards: Implied reward of each completion, no gradient [B]; None if the loss has none.
    """
    completions, groups = len(batch.example_index), batch.examples
    yield "groups/size", completions, groups
    if rewards is not None:
        yield "rewards/mean", rewards.sum(), completions
    if batch.scores is None:
        return
    yield "scores/mean", batch.scores.sum(), completions
    lower = torch.zeros_like(batch.scores)  # number of completions with a lower score
    for start in range(0, completions, AT_A_TIME):
        rows = slice(start, start + AT_A_TIME)
        pairs = batch.scores[rows, None] > batch.scores
        pairs &= batch.example_index[rows, None] == batch.example_index
        lower[rows] = pairs.sum(1).to(lower)
        if rewards is not None:
            margins = torch.where(pairs, rewards[rows, None] - rewards, 0)
            yield "rewards/margins", margins.sum(), pairs.sum()
            yield "rewards/accuracies", (margins > 0).sum(), pairs.sum()
    yield "groups/equal_scores", (batch.of_examples(lower) == 0).sum(), groups
