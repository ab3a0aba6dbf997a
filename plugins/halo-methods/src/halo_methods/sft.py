"""Supervised fine-tuning: the negative log-likelihood of demonstrated completions.

The trainer minimises ``sum(losses * weights) / sum(weights)`` over the global batch. The two
functions differ in the meaning of this fraction:

* per token: the loss is the mean over a completion's tokens, and its weight is its number of
  tokens. So the fraction is the mean over all tokens, and longer completions count more;
* per sequence: the loss is the sum over a completion's tokens, and its weight is 1. So the fraction
  is the mean over completions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Self

from pydantic import Field, model_validator

from halo_core.feedback import Feedback
from halo_core.loss import Loss, LossBatch, LossOutput, Need
from halo_methods import HALOS
from halo_methods.shared.fields import PER, Per

if TYPE_CHECKING:
    from torch import Tensor


class SFT(Loss):
    """Supervised fine-tuning: the negative log-likelihood of the demonstrations."""

    feedback: ClassVar[Feedback] = "demonstration"
    needs: ClassVar[tuple[Need, ...]] = ("policy_logps",)
    citation: ClassVar[str | None] = HALOS + ", section 2"

    per: Per = Field(default="token", description=PER)

    def weighs_examples(self) -> bool:
        """Returns whether longer completions count more."""
        return self.per == "token"

    def __call__(self, batch: LossBatch) -> LossOutput:
        """Returns one loss per demonstration."""
        return _negative_log_likelihood(batch, self.per)


class CSFT(Loss):
    """Conditional fine-tuning: likelihood of good and bad completions, each with its own token."""

    feedback: ClassVar[Feedback] = "binary"
    needs: ClassVar[tuple[Need, ...]] = ("policy_logps",)
    citation: ClassVar[str | None] = (
        "Korbak et al. (2023), Pretraining Language Models with Human Preferences, conditional "
        "training; " + HALOS + ", section 6"
    )

    per: Per = Field(default="token", description=PER)
    good_token: str = Field(
        default="<|good|>",
        description="Token that ends the prompts of desirable completions, and all prompts in "
        "later sampling. It is added to the vocabulary as one token.",
    )
    bad_token: str = Field(
        default="<|bad|>",
        description="Token that ends the prompts of undesirable completions.",
    )

    @model_validator(mode="after")
    def _tokens_can_be_told_apart(self) -> Self:
        for name, token in (("good_token", self.good_token), ("bad_token", self.bad_token)):
            if token.split() != [token]:
                raise ValueError(
                    f"{name} is {token!r}; a control token has at least one character and no "
                    "whitespace, as in <|good|>"
                )
        if self.good_token == self.bad_token:
            raise ValueError(
                f"good_token and bad_token are both {self.good_token!r}, so the model could not "
                "tell them apart; give two tokens"
            )
        return self

    def unchecked_rules(self) -> dict[str, str]:
        """Returns the rule of the direction, which cannot hold."""
        return {"direction": "it also learns undesirable completions, after a token of their own"}

    def control_tokens(self) -> tuple[str, str]:
        """Returns the tokens of desirable and of undesirable completions."""
        return self.good_token, self.bad_token

    def weighs_examples(self) -> bool:
        """Returns whether longer completions count more."""
        return self.per == "token"

    def __call__(self, batch: LossBatch) -> LossOutput:
        """Returns one loss per completion of either class."""
        return _negative_log_likelihood(batch, self.per)


def _negative_log_likelihood(batch: LossBatch, per: Per) -> LossOutput:
    if per == "token":
        return LossOutput(*sft_token_loss(batch.policy_logps, batch.lengths))
    return LossOutput(sft_sequence_loss(batch.policy_logps))


def sft_token_loss(policy_logps: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """Returns each completion's mean negative log-likelihood per token, and its weight.

    ``loss = -S(log pi(y|x)) / length`` with weight ``length``.

    Args:
        policy_logps: Summed log-probability of each completion, nats [B].
        lengths: Tokens of each completion, with the end-of-sequence token, at least 1 [B].

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
    """Returns each completion's summed negative log-likelihood, which is counted once.

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
