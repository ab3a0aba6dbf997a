"""The stage `scratch`: a small new model, with a tokenizer trained on the data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

from pydantic import Field

from halo_core.option_markers import LearnRef
from halo_core.stage import (
    Forecast,
    Inputs,
    Known,
    KnownModel,
    Product,
    Stage,
    StageContext,
    StageResult,
)
from halo_trainer.scratch.config_kinds import wrong_values
from halo_trainer.sizes.known import shape_of

_TOKENIZERS = ("vocab_size", "bos_token_id", "eos_token_id", "pad_token_id")


class Scratch(Stage):
    """Makes a model with random weights and a byte-level BPE tokenizer."""

    produces: ClassVar[Product] = "model"

    config: dict[str, Any] = Field(
        description="A transformers configuration: model_type (default llama) and its fields, such "
        "as hidden_size, intermediate_size, num_hidden_layers, num_attention_heads and "
        "max_position_embeddings. For fields left out, the defaults of transformers apply; they "
        "are large.",
    )
    data: LearnRef = Field(description="The data set whose texts the tokenizer is trained on.")
    vocab_size: int = Field(
        8192,
        ge=260,
        le=1_000_000,
        description="Number of tokens in the vocabulary, including bytes and marks.",
    )
    template: str | None = Field(
        None, description="Chat template: Jinja source, or tulu (the default)."
    )
    dtype: Literal["float32", "bfloat16"] = Field(
        "float32", description="Precision in which the weights are saved."
    )

    def mistakes(self) -> Sequence[tuple[str, str]]:
        """Returns mistakes in the configuration that are known without transformers."""
        mistakes = [
            (
                "config",
                f"{key!r} follows from the tokenizer: leave it out"
                + (", and set the option vocab_size" if key == "vocab_size" else ""),
            )
            for key in _TOKENIZERS
            if key in self.config
        ]
        model_type = self.config.get("model_type", "llama")
        if not isinstance(model_type, str):
            mistakes.append(
                ("config", f"model_type is {model_type!r}; expected a name such as llama")
            )
        return mistakes + [("config", message) for message in wrong_values(self.config)]

    def forecast(self, known: Known) -> Forecast:
        """Returns the number of weights of the new model and its configuration."""
        config = {"model_type": "llama", **self.config, "vocab_size": self.vocab_size}
        return Forecast(weights=shape_of(KnownModel(config=config)).weights, config=config)

    def check_inputs(self, inputs: Inputs) -> Sequence[tuple[str, str]]:
        """Returns mistakes in the configuration, and writes a sketch of the model."""
        from halo_trainer.scratch.look_ahead import scratch_mistakes

        return scratch_mistakes(inputs, self.config, self.vocab_size, self.template)

    def run(self, context: StageContext) -> StageResult:
        """Trains the tokenizer, draws the weights and writes ``model/``."""
        with context.stop.at_once("no model was made; the same command makes it"):
            from halo_trainer.scratch.make import make_folder

            return make_folder(
                context.folder / "model",
                context.data["data"],
                self.config,
                vocab_size=self.vocab_size,
                template=self.template,
                dtype=self.dtype,
                seed=context.seed,
                progress=context.progress,
            )
