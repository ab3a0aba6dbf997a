"""Writes what a training made as a plain transformers folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import nn

from halo_core.loss import Head
from halo_core.loss_calls import heads_of
from halo_core.workspace.files import whole_folder
from halo_models.notes import ModelNotes, write_notes
from halo_models.save import write_classifier, write_model
from halo_trainer.heads import write_heads
from halo_trainer.lora import merged, save_adapter
from halo_trainer.training import Training


def export(training: Training, folder: Path) -> None:
    """Writes the policy; with LoRA the merged weights, and the adapter inside.

    A model with one linear head at the ends of completions becomes a sequence classifier; other
    heads lie beside the model.

    Args:
        training: One that has ended: its policy is not to be trained any further.
        folder: Where to; written beside and renamed.

    Raises:
        ModelError: When the model should become a sequence classifier and cannot.
    """
    base = training.model.get_base_model() if training.adapted else training.model
    base.set_attn_implementation(training.attention)
    with whole_folder(folder) as partial:
        if training.adapted:
            save_adapter(partial, training.model)
            base = merged(training.model)
        write_notes(partial, _write(partial, base, training))


def _write(folder: Path, model: Any, training: Training) -> ModelNotes:
    heads, wanted = training.heads, heads_of(training.scoring.loss)
    scoring = _scoring_head(heads, wanted)
    if scoring is not None:
        write_classifier(folder, model, scoring, training.tokenizer)
        return replace(training.notes, score_at="completion-end")
    write_model(folder, model, training.tokenizer)
    write_heads(folder, heads)
    return training.notes


def _scoring_head(heads: nn.ModuleDict, wanted: Sequence[Head]) -> nn.Module | None:
    if len(wanted) == 1 and wanted[0].at == "end" and wanted[0].hidden_layers == 0:
        return heads[wanted[0].name]
    return None
