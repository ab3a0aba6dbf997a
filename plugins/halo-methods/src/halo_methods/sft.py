"""Supervised fine-tuning: the negative log-likelihood of demonstrated completions.

The trainer minimises ``sum(losses * weights) / sum(weights)`` over the global batch. The two
functions differ in what that fraction becomes:

* per token: the loss is the mean over a completion's tokens and its weight is its number of tokens,
  so the fraction is the mean over all tokens; a long completion counts more than a short one;
* per sequence: the loss is the sum over a completion's tokens and its weight is 1, so the fraction
  is the mean over completions.
"""

from __future__ import annotations

from torch import Tensor


def sft_token_loss(policy_logps: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """Returns each completion's mean negative log-likelihood per token, and its weight.

    ``loss = -S(log pi(y|x)) / length`` with weight ``length``.

    Args:
        policy_logps: Summed log-probability of each completion, nats [B].
        lengths: Completion tokens, the end-of-sequence token included, at least 1 [B].

    Returns:
        Losses in nats per token [B], and weights in tokens, without gradient [B].

    Raises:
        ValueError: When the shapes are not [B] and [B].

    References:
        Human-Aware Loss Functions (2024), section 2.

    >>> from torch import tensor
    >>> sft_token_loss(tensor([-6.0, -1.0]), tensor([3.0, 1.0]))
    (tensor([2., 1.]), tensor([3., 1.]))
    """
    if policy_logps.ndim != 1 or lengths.shape != policy_logps.shape:
        raise ValueError(
            f"sft_token_loss: policy_logps {tuple(policy_logps.shape)} and lengths "
            f"{tuple(lengths.shape)} must both have the shape [B], one value per completion"
        )
    return -policy_logps / lengths, lengths.detach()


def sft_sequence_loss(policy_logps: Tensor) -> Tensor:
    """Returns each completion's summed negative log-likelihood, to be counted once.

    ``loss = -S(log pi(y|x))``

    Args:
        policy_logps: Summed log-probability of each completion, nats [B].

    Returns:
        Losses in nats per completion [B].

    Raises:
        ValueError: When the shape is not [B].

    References:
        Human-Aware Loss Functions (2024), section 2.

    >>> from torch import tensor
    >>> sft_sequence_loss(tensor([-6.0, -1.0]))
    tensor([6., 1.])
    """
    if policy_logps.ndim != 1:
        raise ValueError(
            f"sft_sequence_loss: policy_logps {tuple(policy_logps.shape)} must have the shape [B], "
            "one value per completion"
        )
    return -policy_logps
