"""The options of low-rank adaptation."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer

from halo_core import OtherNames

_SET = """
    auto_mapping base_model_name_or_path fan_in_fan_out inference_mode peft_type peft_version
    revision runtime_config task_type
"""
_LACKING = """
    alora_invocation_tokens alpha_pattern arrow_config bias corda_config ensure_weight_tying
    eva_config init_lora_weights kasa_config layer_replication layers_pattern layers_to_transform
    loftq_config lora_bias lora_ga_config megatron_config megatron_core monteclora_config
    qalora_group_size rank_pattern target_parameters use_bdlora use_dora use_qalora velora_config
"""
PEFT = OtherNames(
    "peft",
    renamed={
        "r": "rank",
        "lora_alpha": "alpha",
        "lora_dropout": "dropout",
        "target_modules": "targets",
        "trainable_token_indices": "train_tokens",
    },
    advice={
        "modules_to_save": "train_tokens trains rows of the embeddings; to train whole layers, "
        "leave out lora",
        "use_rslora": "halo scales by alpha / rank; for alpha / sqrt(rank), multiply alpha by "
        "sqrt(rank)",
        "exclude_modules": "name the layers to adapt in targets",
        **dict.fromkeys(_SET.split(), "leave it out; halo sets it"),
        **dict.fromkeys(_LACKING.split(), "leave it out; halo has no such option"),
    },
)
"""The names of peft's `LoraConfig`, for messages about unknown options."""


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
