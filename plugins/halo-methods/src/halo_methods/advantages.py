"""Generalised advantage estimation over completions of different lengths."""

from __future__ import annotations

from typing import TYPE_CHECKING

from halo_methods.shared.shapes import check_tokens

if TYPE_CHECKING:
    from torch import Tensor


def gae_advantages(
    rewards: Tensor,
    values: Tensor,
    sequence_index: Tensor,
    *,
    gamma: float,
    gae_lambda: float,
    sizes: tuple[int, int] | None = None,
) -> Tensor:
    """Returns how much better each token turned out than the critic expected.

    Within a completion of T tokens, with ``V_T = 0`` after its last one::

        delta_t = reward_t + gamma V_{t+1} - V_t
        A_t     = delta_t + gamma lambda A_{t+1}

    The completions are put side by side, padded with zeros, and scanned once from their ends.

    Args:
        rewards: Reward of each token [N].
        values: The critic's expectation of the rewards from each token on [N].
        sequence_index: The completion, 0..B-1, of each token. Tokens of one completion are in their
            order [N].
        gamma: Discount per token, from 0 to 1.
        gae_lambda: From 0 (the critic's value of the next token) to 1 (everything that follows).
        sizes: Number of completions, and of tokens of the longest one. If left out, both are
            counted, for which a GPU has to be waited for.

    Returns:
        Advantages, without gradient [N]. ``advantages + values`` are the returns.

    Raises:
        ValueError: When the shapes are not all [N].

    References:
        Schulman, Moritz, Levine, Jordan & Abbeel (2016), High-Dimensional Continuous Control Using
        Generalized Advantage Estimation, eq. 16.

    >>> import torch
    >>> rewards, values = torch.tensor([0.0, 1.0, -1.0]), torch.tensor([0.5, 0.5, 0.0])
    >>> gae_advantages(rewards, values, torch.tensor([0, 0, 1]), gamma=1.0, gae_lambda=0.5)
    tensor([ 0.2500,  0.5000, -1.0000])
    """
    import torch

    check_tokens("gae_advantages", sequence_index, rewards=rewards, values=values)
    if sizes is None:
        sizes = int(sequence_index.max()) + 1, int(sequence_index.bincount().max())
    completions, longest = sizes
    positions, _ = token_positions(sequence_index, completions)
    rows = rewards.new_zeros((completions, longest + 1))  # one column after the end
    places = (sequence_index, positions)
    values_at = rows.index_put(places, values.detach())
    deltas = rows.index_put(places, rewards.detach())
    deltas = deltas[:, :-1] + gamma * values_at[:, 1:] - values_at[:, :-1]
    ahead = rewards.new_zeros(completions)
    columns = []
    for column in reversed(deltas.unbind(1)):
        ahead = column + gamma * gae_lambda * ahead  # Schulman et al. eq. 16
        columns.append(ahead)
    return torch.stack(columns[::-1], dim=1)[places]


def token_positions(sequence_index: Tensor, completions: int) -> tuple[Tensor, Tensor]:
    """Returns the position of each token in its completion, and the length of each completion.

    Args:
        sequence_index: The completion, 0..B-1, of each token [N].
        completions: B.

    Returns:
        Positions from 0 [N], and lengths [B], both integers.

    >>> import torch
    >>> token_positions(torch.tensor([0, 0, 0, 1, 2, 2]), 3)
    (tensor([0, 1, 2, 0, 0, 1]), tensor([3, 1, 2]))
    """
    import torch

    # torch.bincount would make a GPU wait.
    lengths = sequence_index.new_zeros(completions)
    lengths = lengths.index_add(0, sequence_index, torch.ones_like(sequence_index))
    order = torch.argsort(sequence_index, stable=True)
    in_order = torch.arange(len(sequence_index), device=sequence_index.device)
    starts = (lengths.cumsum(0) - lengths)[sequence_index[order]]
    return torch.empty_like(order).scatter(0, order, in_order - starts), lengths


def last_tokens(sequence_index: Tensor, completions: int) -> Tensor:
    """Returns whether each token is the last one of its completion [N] bool.

    Args:
        sequence_index: Number of each token's completion, in order [N].
        completions: Number of completions.

    >>> import torch
    >>> last_tokens(torch.tensor([0, 0, 0, 1, 2, 2]), 3).tolist()
    [False, False, True, True, False, True]
    """
    positions, lengths = token_positions(sequence_index, completions)
    return positions == lengths[sequence_index] - 1
