"""Writes what a training made as a plain transformers folder."""

from __future__ import annotations

from pathlib import Path

from halo_trainer.lora import merge_and_save
from halo_trainer.models import save_model_folder
from halo_trainer.training import Training


def export(training: Training, folder: Path) -> None:
    """Writes the policy; with LoRA the merged weights, and the adapter inside.

    Args:
        training: One that has ended: its policy is not to be trained any further.
        folder: Where to; written beside and renamed.
    """
    adapted = training.adapted
    base = training.model.get_base_model() if adapted else training.model
    base.set_attn_implementation(training.attention)
    if adapted:
        merge_and_save(folder, training.model, training.tokenizer)
    else:
        save_model_folder(folder, training.model, training.tokenizer)
