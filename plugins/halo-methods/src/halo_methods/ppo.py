"""Offline, one-step proximal policy optimisation: a clipped policy gradient on given completions.

It samples nothing and learns no reward: a completion earns +1 or -1 at its last token. PPO compares
the policy with that of the step before; here the frozen reference takes this place at every step.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self

from pydantic import Field, Strict, model_validator

from halo_core.feedback import Feedback
from halo_core.loss import Head, Loss, LossBatch, LossOutput, Need
from halo_methods import HALOS
from halo_methods.advantages import gae_advantages, last_tokens
from halo_methods.shared.fields import PER, Per, one_message, refuse_ineffective
from halo_methods.shared.shapes import check_tokens

if TYPE_CHECKING:
    from torch import Tensor

VALUE = "value"
_OF_THE_CRITIC = ("gamma", "gae_lambda", "critic_coefficient")
LARGEST_LOGRATIO = 20.0
"""Log-ratio of one token, nats, above which its ratio continues as a straight line."""
TINY_VARIANCE = 1e-8

Clip = Annotated[
    float | Annotated[tuple[float, float], Strict(False)],  # JSON only has lists
    one_message("two numbers, [least, largest] ratio, or one, an epsilon"),
]


class PPO(Loss):
    """Offline PPO: raise tokens of good completions and lower those of bad ones, within a clip."""

    feedback: ClassVar[Feedback] = "binary"
    needs: ClassVar[tuple[Need, ...]] = ("policy_logps", "reference_logps", "statistics")
    citation: ClassVar[str | None] = (
        "Schulman, Wolski, Dhariwal, Radford & Klimov (2017), Proximal Policy Optimization "
        "Algorithms; " + HALOS + ", section 3.3"
    )

    advantage: Literal["plain", "gae"] = Field(
        default="plain",
        description="Advantage of a token: its completion's +1 or -1 (plain), or an estimate from "
        "a critic, a head that is trained along with the policy (gae; Schulman et al. 2016).",
    )
    clip: Clip = Field(
        default=(0.5, 2.0),
        description="Range [least, largest] of a token's ratio policy / reference; beyond it a "
        "token no longer counts. A number epsilon means the report's [1 - epsilon, 1 + epsilon]. "
        "Archangel used [0.5, 2].",
    )
    kl_coefficient: float = Field(
        default=0.1,
        ge=0,
        description="Penalty per nat of a token's log-ratio. It is part of the token's reward "
        "(gae) or advantage (plain).",
    )
    whiten: bool = Field(
        default=False,
        description="Shift and scale the advantages to mean 0 and variance 1 over all tokens of "
        "the global batch.",
    )
    per: Per = Field(default="token", description=PER)
    gamma: float = Field(
        default=0.99, ge=0, le=1, description="Discount of rewards per token. Only for gae."
    )
    gae_lambda: float = Field(
        default=0.95,
        ge=0,
        le=1,
        description="Range of the advantages: 0 looks to the next token, 1 to the end. Only for "
        "gae.",
    )
    critic_coefficient: float = Field(
        default=0.01,
        gt=0,
        description="Factor of the critic's squared error that is added to the policy's loss. Only "
        "for gae.",
    )

    @model_validator(mode="after")
    def _options_make_sense(self) -> Self:
        refuse_ineffective(self, "advantage", {"gae": _OF_THE_CRITIC})
        if self.gamma == 0 and self.gae_lambda != type(self).model_fields["gae_lambda"].default:
            raise ValueError(
                "gae_lambda has no effect with gamma: 0, because later rewards then do not count; "
                "leave it out"
            )
        if not isinstance(self.clip, tuple):
            if not 0 < self.clip <= 1:
                raise ValueError(f"clip is {self.clip:g}; an epsilon must be above 0 and at most 1")
            return self
        low, high = self.clip
        if not (0 <= low <= 1 <= high and low < high):
            raise ValueError(
                f"clip is [{low:g}, {high:g}]; expected [least, largest] ratio with 1, where "
                "training starts, in between, as in [0.5, 2]"
            )
        return self

    def unchecked_rules(self) -> dict[str, str]:
        """Returns the rules that do not hold if advantages depend on the models or the critic."""
        rules = {}
        if self.advantage == "gae" or self.kl_coefficient > 0:
            rules["gradient"] = "advantages are constants in the gradient, as in the equation"
        if self.advantage == "gae":
            rules["direction"] = "the critic's values decide which tokens have an advantage"
        return rules

    def needed(self) -> tuple[Need, ...]:
        """Returns both models' log-probabilities, and statistics if it whitens."""
        return self.needs if self.whiten else ("policy_logps", "reference_logps")

    def weighs_examples(self) -> bool:
        """Returns whether longer completions count more."""
        return self.per == "token"

    def heads(self) -> tuple[Head, ...]:
        """Returns the critic, a perceptron with 3 layers that sends no gradient to the policy."""
        if self.advantage == "plain":
            return ()
        return (Head(VALUE, at="tokens", hidden_layers=2, detached=True),)

    def statistics(self, batch: LossBatch) -> Mapping[str, Tensor]:
        """Returns the sums of the advantages, of their squares, and the number of tokens."""
        # The variance is the difference of two large sums, and float32 would leave it few digits.
        advantages = self._raw_advantages(batch).double()
        return {
            "total": advantages.sum(),
            "squares": (advantages**2).sum(),
            "count": advantages.new_full((), len(advantages)),
        }

    def __call__(self, batch: LossBatch) -> LossOutput:
        """Returns one loss per completion."""
        raw = advantages = self._raw_advantages(batch)
        if self.whiten:
            advantages = whitened(raw, **batch.statistics)
        low, high = self._bounds()
        logratios = _token_logratios(batch)
        losses = ppo_token_loss(logratios, advantages, clip_low=low, clip_high=high)
        metrics = {"policy/clipped": _counted(_clipped(logratios, advantages, low, high))}
        if self.advantage == "gae":
            critic = batch.heads[VALUE]
            errors = critic_token_loss(critic, raw + critic)  # returns = advantages + values
            losses = losses + self.critic_coefficient * errors
            metrics["critic/squared_error"] = _counted(errors.detach())
        return self._by_completion(batch, losses, metrics)

    def _raw_advantages(self, batch: LossBatch) -> Tensor:
        logratios, index = _token_logratios(batch), batch.sequence_index
        kl = self.kl_coefficient
        if self.advantage == "plain":
            return plain_advantages(logratios, index, batch.desirable, kl_coefficient=kl)
        rewards = token_rewards(logratios, index, batch.desirable, kl_coefficient=kl)
        return gae_advantages(
            rewards,
            batch.heads[VALUE],
            index,
            gamma=self.gamma,
            gae_lambda=self.gae_lambda,
            sizes=(len(batch.desirable), batch.longest),
        )

    def _bounds(self) -> tuple[float, float]:
        if isinstance(self.clip, tuple):
            return self.clip
        return 1 - self.clip, 1 + self.clip

    def _by_completion(
        self, batch: LossBatch, token_losses: Tensor, metrics: Mapping[str, tuple[Tensor, Tensor]]
    ) -> LossOutput:
        sums = token_losses.new_zeros(batch.desirable.shape)
        sums = sums.index_add(0, batch.sequence_index, token_losses)
        if self.per == "token":
            return LossOutput(sums / batch.lengths, batch.lengths, metrics=metrics)
        return LossOutput(sums, metrics=metrics)


def _token_logratios(batch: LossBatch) -> Tensor:
    if batch.reference_token_logps is None:
        raise ValueError("PPO needs the reference's log-probabilities, and the batch has none")
    return batch.policy_token_logps - batch.reference_token_logps


def _clipped(logratios: Tensor, advantages: Tensor, low: float, high: float) -> Tensor:
    """Returns whether each token left the clip in the direction of its advantage, as 0 or 1."""
    q = logratios.detach().exp()
    return (((advantages > 0) & (q > high)) | ((advantages < 0) & (q < low))).to(advantages)


def _counted(of_each: Tensor) -> tuple[Tensor, Tensor]:
    return of_each.sum(), of_each.new_full((), len(of_each))


def ppo_token_loss(
    token_logratios: Tensor, advantages: Tensor, *, clip_low: float, clip_high: float
) -> Tensor:
    """Returns the clipped policy-gradient loss of each token.

    With ``q = pi / pi_ref`` of the token::

        loss = -min(q A, clip(q, clip_low, clip_high) A)

    When q has left the interval in the direction of its advantage, the token gets no gradient. The
    report writes ``log pi / pi_ref`` for q. This must be a mistake: nothing would then be learned
    where the policy equals its reference.

    Args:
        token_logratios: Policy minus reference log-probability of each token, nats [N].
        advantages: Advantage of each token; no gradient flows through them [N].
        clip_low: Smallest ratio that still counts, from 0 to 1: 1 - epsilon of the report.
        clip_high: Largest ratio that still counts, at least 1: 1 + epsilon of the report.

    Returns:
        One loss per token [N].

    Raises:
        ValueError: When the shapes are not [N] and [N].

    References:
        Human-Aware Loss Functions (2024), section 3.3; Schulman et al. (2017), Proximal Policy
        Optimization Algorithms, eq. 7.

    >>> import torch
    >>> logratios, advantages = torch.tensor([0.0, 3.0, 3.0]), torch.tensor([1.0, 1.0, -1.0])
    >>> ppo_token_loss(logratios, advantages, clip_low=0.5, clip_high=2.0)
    tensor([-1.0000, -2.0000, 20.0855])
    """
    import torch

    if token_logratios.ndim != 1 or advantages.shape != token_logratios.shape:
        raise ValueError(
            f"ppo_token_loss: token_logratios {tuple(token_logratios.shape)} and advantages "
            f"{tuple(advantages.shape)} must both have the shape [N], one value per token"
        )
    advantages = advantages.detach()
    q = ratios(token_logratios)
    clipped = q.clamp(clip_low, clip_high)
    return -torch.minimum(q * advantages, clipped * advantages)  # Schulman et al. eq. 7


def ratios(token_logratios: Tensor) -> Tensor:
    """Returns the ratio of policy to reference probability of each token, finite everywhere.

    It is ``exp(x)``, and from `LARGEST_LOGRATIO` on its tangent. So a ratio that is never clipped
    (of a token with a negative advantage) does not overflow and keeps its gradient.

    Args:
        token_logratios: Policy minus reference log-probability, nats [...].

    >>> import torch
    >>> ratios(torch.tensor([0.0, -1e4, 1e4]))
    tensor([1.0000e+00, 0.0000e+00, 4.8424e+12])
    """
    inside = token_logratios.clamp(max=LARGEST_LOGRATIO)
    return inside.exp() * (1 + (token_logratios - inside))


def plain_advantages(
    token_logratios: Tensor, sequence_index: Tensor, desirable: Tensor, *, kl_coefficient: float
) -> Tensor:
    """Returns the advantage of each token without a critic, from its completion's label.

    ``A_t = +1 or -1 - kl_coefficient * (log pi - log pi_ref)_t``

    Each token gets the whole label, minus a penalty for its own divergence only. If the policy
    equals its reference, the advantage is the report's +1 or -1.

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

    >>> import torch
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
    """Returns the reward of each token: the label at the last one, minus a penalty at each.

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

    >>> import torch
    >>> logratios, index = torch.tensor([0.0, 2.0, 1.0]), torch.tensor([0, 0, 1])
    >>> token_rewards(logratios, index, torch.tensor([True, False]), kl_coefficient=0.1)
    tensor([ 0.0000,  0.8000, -1.1000])
    """
    import torch

    check_tokens("token_rewards", sequence_index, token_logratios=token_logratios)
    labels = _labels(token_logratios, desirable)
    earned = torch.where(last_tokens(sequence_index, len(desirable)), labels[sequence_index], 0.0)
    return earned - kl_coefficient * token_logratios.detach()


def whitened(advantages: Tensor, total: Tensor, squares: Tensor, count: Tensor) -> Tensor:
    """Returns advantages shifted and scaled to mean 0 and variance 1 in the global batch.

    Args:
        advantages: Advantages of some tokens of the global batch [N].
        total: Sum of the advantages of the whole global batch [].
        squares: Sum of their squares [].
        count: Number of tokens of the whole global batch [].

    >>> import torch
    >>> a = torch.tensor([1.0, 1.0, -1.0, -1.0])
    >>> whitened(a + 5.0, (a + 5.0).sum(), ((a + 5.0) ** 2).sum(), torch.tensor(4.0))
    tensor([ 1.,  1., -1., -1.])
    """
    import torch

    mean = total / count
    variance = (squares / count - mean**2).clamp(min=0)  # Rounding can make it negative.
    return (advantages - mean.to(advantages)) * torch.rsqrt(variance + TINY_VARIANCE).to(advantages)


def critic_token_loss(values: Tensor, returns: Tensor) -> Tensor:
    """Returns the squared error of the critic's expectation at each token.

    Args:
        values: The critic's expectations [N].
        returns: The actual returns; no gradient flows through them [N].

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
    import torch

    if desirable.ndim != 1 or desirable.dtype != torch.bool:
        raise ValueError(
            f"desirable is {desirable.dtype} {tuple(desirable.shape)}; expected torch.bool [B], "
            "one value per completion"
        )
    return torch.where(desirable, 1.0, -1.0).to(like.dtype)
