"""Sums and softmaxes within groups of completions of one prompt, and the advantages of GRPO.

The completions of a group are adjacent or not, and groups may have different sizes. Nothing here
makes a GPU wait.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from torch import Tensor

Advantage = Literal["grpo", "no_std", "leave_one_out"]
STD_FLOOR = 1e-4
"""Added to the standard deviation of the scores of a group, in units of the score."""


def group_sums(values: Tensor, groups: Tensor, count: int) -> Tensor:
    """Returns the sum of each group's values [E].

    Args:
        values: One value per completion [B].
        groups: The group of each completion, 0..E-1 [B].
        count: E.

    >>> import torch
    >>> group_sums(torch.tensor([1.0, 2.0, 4.0]), torch.tensor([0, 0, 1]), 2)
    tensor([3., 4.])
    """
    return values.new_zeros(count).index_add(0, groups, values)


def group_log_softmax(values: Tensor, groups: Tensor, count: int) -> Tensor:
    """Returns the log of each value's softmax within its group [B].

    The largest value of the group is subtracted first, so that nothing overflows.

    Args:
        values: One value per completion [B].
        groups: The group of each completion, 0..E-1 [B].
        count: E.

    >>> import torch
    >>> group_log_softmax(torch.tensor([0.0, 0.0, 1e4]), torch.tensor([0, 0, 1]), 2)
    tensor([-0.6931, -0.6931,  0.0000])
    """
    import torch

    start = values.new_full((count,), -torch.inf)
    largest = start.scatter_reduce(0, groups, values.detach(), "amax")
    shifted = values - largest[groups]
    return shifted - group_sums(shifted.exp(), groups, count).log()[groups]


def advantages_within_groups(
    scores: Tensor, groups: Tensor, count: int, *, kind: Advantage
) -> Tensor:
    """Returns how much better each completion is than the others of its group, no gradient [B].

    With the mean m and the standard deviation s of the n scores of a group::

        grpo           A = (score - m) / (s + 1e-4)
        no_std         A = score - m
        leave_one_out  A = score - mean of the other n - 1 scores = (score - m) n / (n - 1)

    The standard deviation divides by n - 1. In a group whose scores are all equal, A is 0.

    Args:
        scores: The score of each completion, higher is better [B].
        groups: The group of each completion, 0..E-1. Each group has at least two [B].
        count: E.
        kind: The kind of advantage.

    Raises:
        ValueError: When the shapes are not both [B].

    References:
        grpo: Shao et al. (2024), DeepSeekMath, section 4.1.2 (outcome supervision). no_std: Liu et
        al. (2025), Understanding R1-Zero-Like Training (Dr. GRPO). leave_one_out: Ahmadian et al.
        (2024), Back to Basics (RLOO). The addend 1e-4 is TRL's.

    >>> import torch
    >>> scores, groups = torch.tensor([1.0, 3.0, 2.0, 2.0]), torch.tensor([0, 0, 1, 1])
    >>> advantages_within_groups(scores, groups, 2, kind="leave_one_out")
    tensor([-2.,  2.,  0.,  0.])
    """
    if scores.ndim != 1 or scores.shape != groups.shape:
        raise ValueError(
            f"advantages_within_groups: scores {tuple(scores.shape)} and groups "
            f"{tuple(groups.shape)} must both have the shape [B], one value per completion"
        )
    scores = scores.detach()
    sizes = group_sums(scores.new_ones(scores.shape), groups, count)
    # Twice, because the mean of equal scores may differ from them in the last digit.
    distances = scores - (group_sums(scores, groups, count) / sizes)[groups]
    distances = distances - (group_sums(distances, groups, count) / sizes)[groups]
    distances = distances.where(~equal_scores(scores, groups, count)[groups], 0.0)
    if kind == "no_std":
        return distances
    if kind == "leave_one_out":
        return distances * (sizes / (sizes - 1))[groups]
    variances = group_sums(distances**2, groups, count) / (sizes - 1)
    return distances / (variances.sqrt() + STD_FLOOR)[groups]


def equal_scores(scores: Tensor, groups: Tensor, count: int) -> Tensor:
    """Returns whether all scores of each group are equal [E] bool.

    Args:
        scores: The score of each completion [B].
        groups: The group of each completion, 0..E-1 [B].
        count: E.
    """
    import torch

    highest = scores.new_full((count,), -torch.inf).scatter_reduce(0, groups, scores, "amax")
    lowest = scores.new_full((count,), torch.inf).scatter_reduce(0, groups, scores, "amin")
    return highest == lowest
