"""What a model folder says of itself beyond transformers' own files: ``halo.json``."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from halo_core.errors import ModelError
from halo_core.stage import ModelInput

FILE = "halo.json"


@dataclass(frozen=True)
class ModelNotes:
    """How a model wants to be asked.

    Attributes:
        prompt_suffix: The control token that ends every prompt; None for an ordinary model.
        control_tokens: All control tokens that it was trained with.
        score_at: Where a reward model's score is read: at the token that ends a completion; None
            for a language model.
    """

    prompt_suffix: str | None = None
    control_tokens: tuple[str, ...] = ()
    score_at: Literal["completion-end"] | None = None


def read_notes(model: ModelInput) -> ModelNotes:
    """Returns a model's notes; empty ones where it has none.

    Raises:
        ModelError: When the file is not what `write_notes` writes.
    """
    from transformers.utils import cached_file

    file = cached_file(
        model.path,
        FILE,
        revision=model.revision,
        _raise_exceptions_for_gated_repo=False,
        _raise_exceptions_for_missing_entries=False,
        _raise_exceptions_for_connection_errors=False,
    )
    if file is None:
        return ModelNotes()
    try:
        content = json.loads(Path(file).read_text(encoding="utf-8"))
        suffix, tokens = content["prompt_suffix"], tuple(content["control_tokens"])
        return ModelNotes(suffix, tokens, content.get("score_at"))
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError(
            f"{FILE} cannot be read: {type(error).__name__}: {error}. Expected an object with "
            "prompt_suffix and control_tokens, as train writes it; without the file the model is "
            "asked without a control token",
            location=model.path,
        ) from error


def write_notes(folder: Path, notes: ModelNotes) -> None:
    """Writes a model's notes into its folder; nothing where there is nothing to say."""
    if notes != ModelNotes():
        said = {name: value for name, value in asdict(notes).items() if name != "score_at"}
        if notes.score_at is not None:
            said["score_at"] = notes.score_at
        (folder / FILE).write_text(json.dumps(said, indent=2), encoding="utf-8")
