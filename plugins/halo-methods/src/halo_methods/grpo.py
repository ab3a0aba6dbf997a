"""Group relative policy optimisation: a clipped policy gradient on groups of scored completions.

Each completion is compared with the others of its prompt, so there is no critic. The options give
the variants of the literature: GRPO, Dr. GRPO, DAPO's loss, GSPO, and RLOO's baseline.

The gradient is that of an expectation over the model that sampled, so the ratio must have the
probability with which each token was drawn below the line::

    r_t = pi(o_t) / pi_old(o_t)        Shao et al. (2024), equation 3

`pi` is the policy at temperature 1. The rows have `log pi_old` of the model itself, also at
temperature 1 and over all tokens. With top_p, the sampler draws from ``pi_old(o) / Z_t`` of the
tokens that it keeps, where Z_t is the sum of their probabilities, between top_p and 1. The right
ratio is then ``Z_t r_t``, so r_t is too large by up to 1 / top_p at each token. And no ratio
corrects for tokens that cannot be drawn. With another temperature, the error has no bound. Dividing
by the changed distribution would not help: the ratio would not be 1 at the first step, so the clip
would act on the change of the distribution instead of the change of the policy. Therefore halo
stores the log-probabilities of the model itself, and warns if it was sampled in another way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal, Self

from pydantic import Field, model_validator

from halo_core.feedback import Feedback
from halo_core.loss import Loss, LossBatch, LossOutput, Need
from halo_methods.ppo import LARGEST_LOGRATIO, ppo_token_loss
from halo_methods.shared.groups import Advantage, advantages_within_groups, group_sums

if TYPE_CHECKING:
    from torch import Tensor

Aggregate = Literal["sequence", "token", "constant"]


class GRPO(Loss):
    """Group relative policy optimisation: raise completions that score above their group's mean."""

    feedback: ClassVar[Feedback] = "scored"
    needs: ClassVar[tuple[Need, ...]] = (
        "policy_logps",
        "reference_logps",
        "scores",
        "sampler_logps",
    )
    citation: ClassVar[str | None] = (
        "Shao et al. (2024), DeepSeekMath, arXiv 2402.03300; variants: Liu et al. (2025), arXiv "
        "2503.20783 (Dr. GRPO); Yu et al. (2025), arXiv 2503.14476 (DAPO); Zheng et al. (2025), "
        "arXiv 2507.18071 (GSPO); Ahmadian et al. (2024), arXiv 2402.14740 (RLOO)"
    )

    advantage: Advantage = Field(
        default="grpo",
        description="Advantage of a completion within its group: (score - mean) / (standard "
        "deviation + 1e-4) (grpo), score - mean (no_std, of Dr. GRPO), or score - mean of the "
        "others (leave_one_out, of RLOO).",
    )
    ratio_to: Literal["sampler", "reference"] = Field(
        default="sampler",
        description="The model that the policy's ratio is relative to: the one that sampled the "
        "completions, whose log-probabilities the rows must have, or the reference. The ratio is "
        "right if it sampled with temperature: 1, top_p: 1 and top_k: 0; halo warns otherwise.",
    )
    ratio_level: Literal["token", "sequence"] = Field(
        default="token",
        description="A ratio for each token, or the geometric mean of a completion's ratios for "
        "all its tokens (GSPO).",
    )
    epsilon_low: float = Field(
        default=0.2,
        gt=0,
        le=1,
        description="A ratio below 1 - epsilon_low no longer counts where the advantage is "
        "negative.",
    )
    epsilon_high: float = Field(
        default=0.2,
        gt=0,
        description="A ratio above 1 + epsilon_high no longer counts where the advantage is "
        "positive (DAPO: 0.28).",
    )
    beta: float = Field(
        default=0.04,
        ge=0,
        description="Penalty per nat of the estimated divergence from the reference at each token "
        "(DeepSeekMath: 0.04). With 0, no reference is needed for it.",
    )
    aggregate: Aggregate = Field(
        default="sequence",
        description="From tokens to the loss: the mean over a completion's tokens, then over the "
        "group (sequence, GRPO); the mean over all tokens of the global batch (token, DAPO); or "
        "the sum over a completion's tokens divided by max_completion_length, then the mean over "
        "the group (constant, Dr. GRPO).",
    )
    max_completion_length: int | None = Field(
        default=None,
        ge=1,
        description="Number of tokens that divides the sums of aggregate: constant, whatever the "
        "real lengths are. Take the max_new_tokens of sampling.",
    )

    @model_validator(mode="after")
    def _length_fits(self) -> Self:
        if self.aggregate == "constant" and self.max_completion_length is None:
            raise ValueError(
                "aggregate: constant divides by max_completion_length, which is not given; take "
                "the max_new_tokens of the sampling stage"
            )
        if self.aggregate != "constant" and self.max_completion_length is not None:
            raise ValueError(
                f"max_completion_length has no effect with aggregate: {self.aggregate}; leave it "
                "out, or set aggregate: constant"
            )
        return self

    def needed(self) -> tuple[Need, ...]:
        """Returns the scores, and the log-probabilities of the models that it compares with."""
        needed: list[Need] = ["policy_logps"]
        if self.beta > 0 or self.ratio_to == "reference":
            needed.append("reference_logps")
        needed.append("scores")
        if self.ratio_to == "sampler":
            needed.append("sampler_logps")
        return tuple(needed)

    def weighs_examples(self) -> bool:
        """Returns whether groups with more tokens count more."""
        return self.aggregate == "token"

    def __call__(self, batch: LossBatch) -> LossOutput:
        """Returns one loss per group."""
        policy, index = batch.policy_token_logps, batch.sequence_index
        logratios = policy - self._compared_with(batch)
        gap = logratios.detach().abs().sum()
        if self.ratio_level == "sequence":
            logratios = sequence_logratios(logratios, index, len(batch.example_index))
        advantages = self._advantages(batch).to(policy.dtype)[index]
        low, high = 1 - self.epsilon_low, 1 + self.epsilon_high
        losses = ppo_token_loss(logratios, advantages, clip_low=low, clip_high=high)
        tokens = policy.new_full((), len(policy))
        metrics = {"policy/clipped": (_clipped(logratios, advantages, low, high).sum(), tokens)}
        if self.ratio_to == "sampler":
            metrics["policy/sampler_gap"] = (gap, tokens)
        rewards = None
        if self.beta > 0:
            divergences = token_divergences(policy, _known(batch.reference_token_logps))
            losses = losses + self.beta * divergences
            metrics["policy/reference_kl"] = (divergences.detach().sum(), tokens)
            rewards = self.beta * batch.logratios
        return self._aggregated(batch, losses, rewards, metrics)

    def _compared_with(self, batch: LossBatch) -> Tensor:
        if self.ratio_to == "sampler":
            return _known(batch.sampler_token_logps)
        return _known(batch.reference_token_logps)

    def _advantages(self, batch: LossBatch) -> Tensor:
        scores = _known(batch.scores)
        return advantages_within_groups(
            scores, batch.example_index, batch.examples, kind=self.advantage
        )

    def _aggregated(
        self,
        batch: LossBatch,
        token_losses: Tensor,
        rewards: Tensor | None,
        metrics: dict[str, tuple[Tensor, Tensor]],
    ) -> LossOutput:
        groups, count = batch.example_index, batch.examples
        sums = group_sums(token_losses, batch.sequence_index, len(groups))
        if self.aggregate == "token":
            tokens = batch.of_examples(batch.lengths)
            losses = group_sums(sums, groups, count) / tokens
            return LossOutput(losses, tokens, rewards, metrics)
        lengths = self.max_completion_length or batch.lengths
        losses = group_sums(sums / lengths, groups, count) / batch.group_sizes
        return LossOutput(losses, rewards=rewards, metrics=metrics)


def _known(values: Tensor | None) -> Tensor:
    if values is None:
        raise ValueError("grpo needs scores and log-probabilities, and the batch lacks some")
    return values


def _clipped(logratios: Tensor, advantages: Tensor, low: float, high: float) -> Tensor:
    """Returns whether each token left the clip in the direction of its advantage [N] bool."""
    q = logratios.detach().exp()
    return ((advantages > 0) & (q > high)) | ((advantages < 0) & (q < low))


def sequence_logratios(token_logratios: Tensor, sequence_index: Tensor, count: int) -> Tensor:
    """Returns for each token the mean log-ratio of its completion, nats [N].

    Args:
        token_logratios: Log-ratio of each token, nats [N].
        sequence_index: The completion of each token, 0..B-1 [N].
        count: B.

    References:
        Zheng et al. (2025), Group Sequence Policy Optimization, the importance ratio s_i.

    >>> import torch
    >>> sequence_logratios(torch.tensor([1.0, 3.0, 5.0]), torch.tensor([0, 0, 1]), 2)
    tensor([2., 2., 5.])
    """
    sums = group_sums(token_logratios, sequence_index, count)
    lengths = group_sums(token_logratios.new_ones(len(sequence_index)), sequence_index, count)
    return (sums / lengths)[sequence_index]


def token_divergences(policy_token_logps: Tensor, ref_token_logps: Tensor) -> Tensor:
    """Returns an estimate of the divergence of the policy from the reference at each token [N].

    With ``d = log pi_ref - log pi`` of the token::

        k3 = exp(d) - d - 1

    Its mean over samples of the policy is KL(pi || pi_ref). It is at least 0, and 0 only where both
    are equal. From d = 20 on, the exponential continues as a straight line, so that it and its
    gradient stay finite.

    Args:
        policy_token_logps: Log-probability of each token under the policy, nats [N].
        ref_token_logps: Log-probability of each token under the reference, no gradient [N].

    Raises:
        ValueError: When the shapes are not both [N].

    References:
        Schulman (2020), Approximating KL Divergence, k3; Shao et al. (2024), DeepSeekMath, the
        unbiased estimator in section 4.1.1.

    >>> import torch
    >>> token_divergences(torch.tensor([-1.0, -1.0]), torch.tensor([-1.0, 0.0]))
    tensor([0.0000, 0.7183])
    """
    import torch

    if policy_token_logps.ndim != 1 or policy_token_logps.shape != ref_token_logps.shape:
        raise ValueError(
            f"token_divergences: policy_token_logps {tuple(policy_token_logps.shape)} and "
            f"ref_token_logps {tuple(ref_token_logps.shape)} must both have the shape [N]"
        )
    d = ref_token_logps.detach() - policy_token_logps
    inside = d.clamp(max=LARGEST_LOGRATIO)
    beyond = inside.exp() * (d - inside)
    return torch.expm1(inside) + beyond - d
