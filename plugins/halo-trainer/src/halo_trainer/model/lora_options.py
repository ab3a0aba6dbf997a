"""The options of low-rank adaptation."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer


class LoraOptions(BaseModel):
    """Trains low-rank factors of some linear layers. All other weights stay fixed.

    References:
        Hu et al. 2021, LoRA: Low-Rank Adaptation of Large Language Models.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    rank: int = Field(16, ge=1, description="Rank of the update of each layer.")
    alpha: float = Field(
        32.0, gt=0, description="The update is scaled by alpha / rank (Hu et al. 2021, sec. 4.1)."
    )
    dropout: float = Field(
        0.0, ge=0, lt=1, description="Dropout rate of the update's inputs in training."
    )
    targets: Literal["all-linear"] | list[str] = Field(
        "all-linear",
        description="Names of the layers to adapt, for example [q_proj, v_proj]. all-linear means "
        "every linear layer except the output head.",
    )
    train_tokens: Literal["new"] | list[str] | None = Field(
        None,
        description="Tokens whose embedding rows are also trained. new means all tokens that the "
        "model has never learned, including the loss's control tokens. Or give a list of tokens.",
    )

    @model_serializer(mode="wrap")
    def _without_what_was_added(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        options: dict[str, Any] = handler(self)
        # Results from before this option existed are still found.
        if self.train_tokens is None:
            del options["train_tokens"]
        return options
