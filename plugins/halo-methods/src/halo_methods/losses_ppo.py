"""Offline, one-step PPO: a clipped policy gradient on given completions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self

from pydantic import Field, Strict, model_validator

from halo_core.feedback import Feedback
from halo_core.loss import Head, Loss, LossBatch, LossOutput, Need
from halo_methods.citations import HALOS
from halo_methods.ineffective import refuse_ineffective
from halo_methods.losses_likelihood import PER, Per
from halo_methods.one_message import one_message

if TYPE_CHECKING:
    from torch import Tensor

VALUE = "value"
_OF_THE_CRITIC = ("gamma", "gae_lambda", "critic_coefficient")

Clip = Annotated[
    float | Annotated[tuple[float, float], Strict(False)],  # JSON has lists only
    one_message("two numbers, [least, largest] ratio, or one, an epsilon"),
]


class PPO(Loss):
    """Offline PPO: push tokens of good completions up and of bad ones down, within a clip."""

    feedback: ClassVar[Feedback] = "binary"
    needs: ClassVar[tuple[Need, ...]] = ("policy_logps", "reference_logps", "statistics")
    citation: ClassVar[str | None] = (
        "Schulman, Wolski, Dhariwal, Radford & Klimov (2017), Proximal Policy Optimization "
        "Algorithms; " + HALOS + ", section 3.3"
    )

    advantage: Literal["plain", "gae"] = Field(
        default="plain",
        description="Of a token: its completion's +1 or -1 (plain), or estimated with a critic, a "
        "head that is trained beside the policy (gae; Schulman et al. 2016).",
    )
    clip: Clip = Field(
        default=(0.5, 2.0),
        description="Ratios policy / reference of a token that still count, [least, largest]; or "
        "a number epsilon for the report's [1 - epsilon, 1 + epsilon]. Archangel used [0.5, 2].",
    )
    kl_coefficient: float = Field(
        default=0.1,
        ge=0,
        description="Penalty per nat of log-ratio of a token, in the token's reward (gae) or "
        "advantage (plain).",
    )
    whiten: bool = Field(
        default=False,
        description="Shift and scale the advantages to mean 0 and variance 1 over all tokens of "
        "the global batch.",
    )
    per: Per = Field(default="token", description=PER)
    gamma: float = Field(
        default=0.99, ge=0, le=1, description="Discount of rewards per token; for gae."
    )
    gae_lambda: float = Field(
        default=0.95,
        ge=0,
        le=1,
        description="How far advantages look ahead: 0 to the next token, 1 to the end; for gae.",
    )
    critic_coefficient: float = Field(
        default=0.01,
        gt=0,
        description="Factor of the critic's squared error beside the policy's loss; for gae.",
    )

    @model_validator(mode="after")
    def _options_make_sense(self) -> Self:
        refuse_ineffective(self, "advantage", {"gae": _OF_THE_CRITIC})
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

    def needed(self) -> tuple[Need, ...]:
        """Returns both models' log-probabilities, and statistics where it whitens."""
        return self.needs if self.whiten else ("policy_logps", "reference_logps")

    def weighs_examples(self) -> bool:
        """Returns whether long completions count more."""
        return self.per == "token"

    def heads(self) -> tuple[Head, ...]:
        """Returns the critic, a perceptron of 3 layers that does not move the policy."""
        if self.advantage == "plain":
            return ()
        return (Head(VALUE, at="tokens", hidden_layers=2, detached=True),)

    def statistics(self, batch: LossBatch) -> Mapping[str, Tensor]:
        """Returns the sums of the advantages, of their squares, and the number of tokens."""
        advantages = self._raw_advantages(batch).double()
        return {
            "total": advantages.sum(),
            "squares": (advantages**2).sum(),
            "count": advantages.new_tensor(float(len(advantages))),
        }

    def __call__(self, batch: LossBatch) -> LossOutput:
        """Returns one loss per completion."""
        from halo_methods.ppo import critic_token_loss, ppo_token_loss, whitened

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
        from halo_methods.gae import gae_advantages
        from halo_methods.ppo import plain_advantages, token_rewards

        logratios, index = _token_logratios(batch), batch.sequence_index
        kl = self.kl_coefficient
        if self.advantage == "plain":
            return plain_advantages(logratios, index, batch.desirable, kl_coefficient=kl)
        rewards = token_rewards(logratios, index, batch.desirable, kl_coefficient=kl)
        return gae_advantages(
            rewards, batch.heads[VALUE], index, gamma=self.gamma, gae_lambda=self.gae_lambda
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
    """Whether each token has left the clip in the direction of its advantage, as 0 or 1."""
    q = logratios.detach().exp()
    return (((advantages > 0) & (q > high)) | ((advantages < 0) & (q < low))).to(advantages)


def _counted(of_each: Tensor) -> tuple[Tensor, Tensor]:
    return of_each.sum(), of_each.new_tensor(float(len(of_each)))
