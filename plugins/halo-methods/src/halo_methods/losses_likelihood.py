"""Losses that make completions likely: supervised fine-tuning, plain and conditional."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from halo_core.feedback import Feedback
from halo_core.loss import Loss, LossBatch, LossOutput, Need
from halo_methods.citations import HALOS

Per = Literal["token", "sequence"]
PER = (
    "What counts once in the mean over the global batch: each completion token (long completions "
    "count more), or each completion with its sum over tokens."
)


class SFT(Loss):
    """Supervised fine-tuning: the negative log-likelihood of the demonstrations."""

    feedback: ClassVar[Feedback] = "demonstration"
    needs: ClassVar[tuple[Need, ...]] = ("policy_logps",)
    citation: ClassVar[str | None] = HALOS + ", section 2"

    per: Per = Field(default="token", description=PER)

    def weighs_examples(self) -> bool:
        """Returns whether long completions count more."""
        return self.per == "token"

    def __call__(self, batch: LossBatch) -> LossOutput:
        """Returns one loss per demonstration."""
        return _negative_log_likelihood(batch, self.per)


class CSFT(Loss):
    """Conditional fine-tuning: likelihood of good and bad completions, told apart by a token."""

    feedback: ClassVar[Feedback] = "binary"
    needs: ClassVar[tuple[Need, ...]] = ("policy_logps",)
    citation: ClassVar[str | None] = (
        "Korbak et al. (2023), Pretraining Language Models with Human Preferences, conditional "
        "training; " + HALOS + ", section 6"
    )

    per: Per = Field(default="token", description=PER)
    good_token: str = Field(
        default="<|good|>",
        description="Ends the prompts of desirable completions, and of all sampling afterwards. "
        "It joins the vocabulary as one token.",
    )
    bad_token: str = Field(
        default="<|bad|>",
        description="Ends the prompts of undesirable completions.",
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

    def control_tokens(self) -> tuple[str, str]:
        """Returns the tokens of desirable and of undesirable completions."""
        return self.good_token, self.bad_token

    def weighs_examples(self) -> bool:
        """Returns whether long completions count more."""
        return self.per == "token"

    def __call__(self, batch: LossBatch) -> LossOutput:
        """Returns one loss per completion, whichever its class."""
        return _negative_log_likelihood(batch, self.per)


def _negative_log_likelihood(batch: LossBatch, per: Per) -> LossOutput:
    from halo_methods.sft import sft_sequence_loss, sft_token_loss

    if per == "token":
        return LossOutput(*sft_token_loss(batch.policy_logps, batch.lengths))
    return LossOutput(sft_sequence_loss(batch.policy_logps))
