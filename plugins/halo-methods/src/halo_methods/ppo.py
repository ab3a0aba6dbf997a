"""Offline, one-step proximal policy optimisation: clipped policy gradient on given completions.

Nothing is sampled and no reward is learned: a completion earns +1 or -1 at its last token. The
policy of the step before, from which PPO measures its steps, is the frozen reference throughout.
"""

from __future__ import annotations

import torch
from torch import Tensor

from halo_methods.gae import last_tokens
from halo_methods.shapes import check_tokens

LARGEST_LOGRATIO = 20.0
"""Log-ratio of one token, nats, above which its ratio goes on as a straight line."""
TINY_VARIANCE = 1e-8


def ratios(token_logratios: Tensor) -> Tensor:
    """Returns policy / reference probability of each token, finite everywhere.

    ``exp(x)``, and from `LARGEST_LOGRATIO` on its tangent: a ratio that is never clipped (that of a
    token with a negative advantage) neither overflows nor loses its gradient.

    Args:
        token_logratios: Policy minus reference log-probability, nats [...].

    >>> ratios(torch.tensor([0.0, -1e4, 1e4]))
    tensor([1.0000e+00, 0.0000e+00, 4.8424e+12])
    """
    inside = token_logratios.clamp(max=LARGEST_LOGRATIO)
    return inside.exp() * (1 + (token_logratios - inside))


def ppo_token_loss(
    token_logratios: Tensor, advantages: Tensor, *, clip_low: float, clip_high: float
) -> Tensor:
    """Returns the clipped policy-gradient loss of each token.

    With ``q = pi / pi_ref`` of the token::

        loss = -min(q A, clip(q, clip_low, clip_high) A)

    Once q has left the interval in the direction of its advantage, the token is done: no gradient.
    The report writes q for ``log pi / pi_ref``, by mistake: then nothing would be learned where the
    policy equals its reference.

    Args:
        token_logratios: Policy minus reference log-probability of each token, nats [N].
        advantages: Of each token; no gradient flows through them [N].
        clip_low: Least ratio that still counts, from 0 to 1: 1 - epsilon of the report.
        clip_high: Largest ratio that still counts, at least 1: 1 + epsilon of the report.

    Returns:
        One loss per token [N].

    Raises:
        ValueError: When the shapes are not [N] and [N].

    References:
        Human-Aware Loss Functions (2024), section 3.3; Schulman et al. (2017), Proximal Policy
        Optimization Algorithms, eq. 7.

    >>> logratios, advantages = torch.tensor([0.0, 3.0, 3.0]), torch.tensor([1.0, 1.0, -1.0])
    >>> ppo_token_loss(logratios, advantages, clip_low=0.5, clip_high=2.0)
    tensor([-1.0000, -2.0000, 20.0855])
    """
    if token_logratios.ndim != 1 or advantages.shape != token_logratios.shape:
        raise ValueError(
            f"ppo_token_loss: token_logratios {tuple(token_logratios.shape)} and advantages "
            f"{tuple(advantages.shape)} must both have the shape [N], one value per token"
        )
    advantages = advantages.detach()
    q = ratios(token_logratios)
    clipped = q.clamp(clip_low, clip_high)
    return -torch.minimum(q * advantages, clipped * advantages)  # Schulman et al. eq. 7


def plain_advantages(
    token_logratios: Tensor, sequence_index: Tensor, desirable: Tensor, *, kl_coefficient: float
) -> Tensor:
    """Returns the advantage of each token without a critic: its completion's label.

    ``A_t = +1 or -1 - kl_coefficient * (log pi - log pi_ref)_t``

    Each token answers for the whole label and for its own divergence only; where the policy equals
    its reference it is the report's +1 or -1.

    Args:
        token_logratios: Policy minus reference log-probability of each token, nats [N].
        sequence_index: The completion, 0..B-1, of each token [N].
        desirable: Whether each completion is desirable [B] bool.
        kl_coefficient: Penalty per nat of log-ratio, at least 0.

    Returns:
        Advantages, without gradient [N].

    Raises:
        ValueError: When the shapes are not as above.

    References:
        Human-Aware Loss Functions (2024), section 3.3.

    >>> logratios, index = torch.tensor([0.0, 2.0, 1.0]), torch.tensor([0, 0, 1])
    >>> plain_advantages(logratios, index, torch.tensor([True, False]), kl_coefficient=0.1)
    tensor([ 1.0000,  0.8000, -1.1000])
    """
    check_tokens("plain_advantages", sequence_index, token_logratios=token_logratios)
    labels = _labels(token_logratios, desirable)
    return labels[sequence_index] - kl_coefficient * token_logratios.detach()


def token_rewards(
    token_logratios: Tensor, sequence_index: Tensor, desirable: Tensor, *, kl_coefficient: float
) -> Tensor:
    """Returns what each token earns: the label at the last one, less a penalty at each.

    Args:
        token_logratios: Policy minus reference log-probability of each token, nats [N].
        sequence_index: The completion, 0..B-1, of each token [N].
        desirable: Whether each completion is desirable [B] bool.
        kl_coefficient: Penalty per nat of log-ratio, at least 0.

    Returns:
        Rewards, without gradient [N].

    Raises:
        ValueError: When the shapes are not as above.

    References:
        Human-Aware Loss Functions (2024), section 3.3: dummy rewards of +1 and -1.

    >>> logratios, index = torch.tensor([0.0, 2.0, 1.0]), torch.tensor([0, 0, 1])
    >>> token_rewards(logratios, index, torch.tensor([True, False]), kl_coefficient=0.1)
    tensor([ 0.0000,  0.8000, -1.1000])
    """
    check_tokens("token_rewards", sequence_index, token_logratios=token_logratios)
    labels = _labels(token_logratios, desirable)
    earned = torch.where(last_tokens(sequence_index, len(desirable)), labels[sequence_index], 0.0)
    return earned - kl_coefficient * token_logratios.detach()


def whitened(advantages: Tensor, total: Tensor, squares: Tensor, count: Tensor) -> Tensor:
    """Returns advantages shifted and scaled to mean 0 and variance 1 over the global batch.

    Args:
        advantages: Of some tokens of the global batch [N].
        total: Sum of the advantages of the whole global batch [].
        squares: Sum of their squares [].
        count: Its tokens [].

    >>> a = torch.tensor([1.0, 1.0, -1.0, -1.0])
    >>> whitened(a + 5.0, (a + 5.0).sum(), ((a + 5.0) ** 2).sum(), torch.tensor(4.0))
    tensor([ 1.,  1., -1., -1.])
    """
    mean = total / count
    variance = (squares / count - mean**2).clamp(min=0)  # rounding can make it negative
    return (advantages - mean.to(advantages)) * torch.rsqrt(variance + TINY_VARIANCE).to(advantages)


def critic_token_loss(values: Tensor, returns: Tensor) -> Tensor:
    """Returns the squared error of what the critic expected from each token on.

    Args:
        values: The critic's expectations [N].
        returns: What came; no gradient flows through them [N].

    Raises:
        ValueError: When the shapes are not [N] and [N].

    References:
        Schulman et al. (2017), Proximal Policy Optimization Algorithms, below eq. 9.
    """
    if values.ndim != 1 or returns.shape != values.shape:
        raise ValueError(
            f"critic_token_loss: values {tuple(values.shape)} and returns {tuple(returns.shape)} "
            "must both have the shape [N], one value per token"
        )
    return (values - returns.detach()) ** 2


def _labels(like: Tensor, desirable: Tensor) -> Tensor:
    if desirable.ndim != 1 or desirable.dtype != torch.bool:
        raise ValueError(
            f"desirable is {desirable.dtype} {tuple(desirable.shape)}; expected torch.bool [B], "
            "one value per completion"
        )
    return torch.where(desirable, 1.0, -1.0).to(like.dtype)
