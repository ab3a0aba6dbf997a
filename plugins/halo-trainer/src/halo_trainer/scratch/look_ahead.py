"""Checks whether a model can be made, and writes a sketch of it for later stages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from halo_core.errors import UserError
from halo_core.stage import Inputs
from halo_models.skeleton import check_shapes, skeleton
from halo_models.templates import use_template
from halo_trainer.scratch.make import make_config, train_tokenizer, unmakeable

SKETCHED_VOCABULARY = 1024
"""Largest number of tokens of a sketch's tokenizer."""


def scratch_mistakes(
    inputs: Inputs, options: Mapping[str, Any], vocab_size: int, template: str | None
) -> list[tuple[str, str]]:
    """Returns (option, message) pairs for mistakes in a model's options; writes its sketch.

    Args:
        inputs: The available inputs.
        options: Fields of the configuration class, and its `model_type`.
        vocab_size: Largest number of tokens of the tokenizer.
        template: Chat template; None for the default.
    """
    rows = inputs.data.get("data")
    tokenizer = train_tokenizer(rows, min(vocab_size, SKETCHED_VOCABULARY))
    try:
        use_template(tokenizer, template)
    except UserError as error:
        return [("template", error.message)]
    try:
        config = make_config(options, tokenizer)
    except UserError as error:
        return [(error.location or "config", error.message)]
    try:
        check_shapes(skeleton(config))
    except Exception as error:
        return [("config", unmakeable(config, error).message)]
    config.save_pretrained(inputs.sketch)
    tokenizer.save_pretrained(inputs.sketch)
    return []
