"""The notes in a model's folder beyond transformers' own files: ``halo.json``."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from halo_core.errors import DataError, ModelError
from halo_core.stage import ModelInput
from halo_core.workspace.records import MODEL, ModelRecord
from halo_models.conversation import ChatOptions


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
    """

    prompt_suffix: str | None = None
    control_tokens: tuple[str, ...] = ()
    score_at: Literal["completion-end"] | None = None
    template_date: str | None = None
    content_tokens: tuple[str, ...] = ()

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
    from transformers.utils import cached_file

    file = cached_file(
        model.path,
        MODEL.name,
        revision=model.revision,
        _raise_exceptions_for_gated_repo=False,
        _raise_exceptions_for_missing_entries=False,
        _raise_exceptions_for_connection_errors=False,
    )
    if file is None:
        return ModelNotes()
    try:
        record = MODEL.read(Path(file).parent)
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
    )


def write_notes(folder: Path, notes: ModelNotes) -> None:
    """Writes a model's notes into its folder, unless they are empty."""
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
        MODEL.write(folder, record)
