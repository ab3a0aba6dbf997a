"""Says where the chat template of a model comes from."""

from __future__ import annotations

from typing import Literal

from halo_core.stage import ModelInput
from halo_models.load import read_tokenizer
from halo_models.notes import TEMPLATE_FILE, model_file

TemplateOrigin = Literal["option", "model", "tokenizer", "built-in"]
"""The option of a stage; a file of the model; the tokenizer's configuration; or halo's own."""


def template_origin(model: ModelInput, template: str | None) -> TemplateOrigin:
    """Returns where `halo_models.templates.use_template` takes the chat template from.

    Args:
        model: A folder or a hub id.
        template: The option of the stage; None if it is not set.

    Raises:
        ModelError: When there is no tokenizer.
    """
    if template is not None:
        return "option"
    if not read_tokenizer(model).chat_template:
        return "built-in"
    return "tokenizer" if model_file(model, TEMPLATE_FILE) is None else "model"


def told_origin(model: ModelInput, template: str | None) -> str:
    """Returns the origin of the chat template as a text for people; see `template_origin`."""
    match template_origin(model, template):
        case "option":
            named = " (tulu)" if template == "tulu" else ""
            return f"from the option template of the stage{named}"
        case "model":
            return f"from the model, {TEMPLATE_FILE} of {model.path}"
        case "tokenizer":
            return f"from the tokenizer, tokenizer_config.json of {model.path}"
        case "built-in":
            return f"built in (tulu), because the tokenizer of {model.path} has none"
