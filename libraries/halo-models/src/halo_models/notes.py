"""The notes in a model's folder beyond transformers' own files: ``halo.json``."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from halo_core.errors import DataError, ModelError
from halo_core.stage import ModelInput
from halo_core.workspace.records import MODEL, ModelRecord
from halo_models.conversation import ChatOptions

TEMPLATE_FILE = "chat_template.jinja"
"""The file into which transformers saves a chat template."""


@dataclass(frozen=True)
class ModelNotes:
    """How to prompt a model.

    Attributes:
        prompt_suffix: The control token that ends every prompt; None for an ordinary model.
        control_tokens: All control tokens that the model was trained with.
        score_at: Position of a reward model's score: the token that ends a completion. None for a
            language model.
        template_date: The date that the chat template got in training; None if it does not ask for
            a date.
        content_tokens: Added tokens that may occur in the content of the training data: see
            `halo_models.chat_format.ChatOptions`.
        chat_template: Whether a chat template was saved with the model.
    """

    prompt_suffix: str | None = None
    control_tokens: tuple[str, ...] = ()
    score_at: Literal["completion-end"] | None = None
    template_date: str | None = None
    content_tokens: tuple[str, ...] = ()
    chat_template: bool = False

    def chat_options(self, asked: ChatOptions) -> ChatOptions:
        """Returns options for rows, filled in from the model's own where they are left open."""
        tokens = asked.content_tokens
        return replace(
            asked,
            template_date=asked.template_date or self.template_date,
            content_tokens=self.content_tokens if tokens is None else tokens,
        )


def read_notes(model: ModelInput) -> ModelNotes:
    """Returns a model's notes. They are empty if the model has none.

    Raises:
        ModelError: When the file does not have the form that `write_notes` writes.
    """
    file = model_file(model, MODEL.name)
    if file is None:
        return ModelNotes()
    try:
        record = MODEL.read(file.parent)
    except DataError as error:
        raise ModelError(f"{MODEL.name} {error.message}", location=model.path) from error
    assert record is not None  # transformers found it
    tokens = tuple(record["control_tokens"])
    return ModelNotes(
        record["prompt_suffix"],
        tokens,
        record.get("score_at"),
        record.get("template_date"),
        tuple(record.get("content_tokens", ())),
        record.get("chat_template", False),
    )


def model_file(model: ModelInput, name: str) -> Path | None:
    """Returns a file of a model by its name; None if the model has none, or cannot be reached."""
    from transformers.utils import cached_file

    file = cached_file(
        model.path,
        name,
        revision=model.revision,
        _raise_exceptions_for_gated_repo=False,
        _raise_exceptions_for_missing_entries=False,
        _raise_exceptions_for_connection_errors=False,
    )
    return None if file is None else Path(file)


def check_template(model: ModelInput, template: str | dict[str, str] | None) -> None:
    """Checks that a model's chat template was not lost.

    A model that never had a template is valid.

    Args:
        model: A folder or a hub id.
        template: The chat template of its tokenizer.

    Raises:
        ModelError: When the template is empty, or was saved with the model and is gone.
    """
    if template:
        return
    if template is not None:
        what = "the chat template is empty"
    elif read_notes(model).chat_template:
        what = f"the chat template is gone: {MODEL.name} says that one was saved with the model"
    else:
        return
    raise ModelError(
        f"{what}. Without it, prompts would differ from those of training. Put "
        f"{TEMPLATE_FILE} back or copy the model again; or choose a template with the option "
        "template, if the stage has it",
        location=model.path,
    )


def write_notes(folder: Path, notes: ModelNotes) -> None:
    """Writes a model's notes into its folder, unless they are empty.

    Args:
        folder: The folder, with the saved tokenizer.
        notes: The notes. Whether there is a chat template is seen in the folder.
    """
    notes = replace(notes, chat_template=(folder / TEMPLATE_FILE).exists())
    if notes != ModelNotes():
        record = ModelRecord(
            prompt_suffix=notes.prompt_suffix, control_tokens=list(notes.control_tokens)
        )
        if notes.score_at is not None:
            record["score_at"] = notes.score_at
        if notes.template_date is not None:
            record["template_date"] = notes.template_date
        if notes.content_tokens:
            record["content_tokens"] = list(notes.content_tokens)
        if notes.chat_template:
            record["chat_template"] = True
        MODEL.write(folder, record)
