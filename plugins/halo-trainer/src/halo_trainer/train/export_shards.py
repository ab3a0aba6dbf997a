"""Writes a policy whose weights are spread over the processes as a plain model folder.

The folder is that of `export_policy`. Rank 0 writes it, and holds at most one file of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor

from halo_core.workspace.files import whole_folder
from halo_models.finite import look_over
from halo_models.load import with_rows
from halo_models.notes import write_notes
from halo_models.save import classifier_skeleton, give_own_padding, write_all_but_weights
from halo_models.weight_files import FILE_BYTES, WeightFiles
from halo_trainer.model.heads import write_heads
from halo_trainer.model.lora import save_adapter
from halo_trainer.model.scorer import Scorer
from halo_trainer.sharding.whole_weights import (
    base_of,
    gather_adapter,
    gather_heads,
    untie_adapted_head,
    whole_weights,
)
from halo_trainer.train.export import becomes_classifier, not_merged
from halo_trainer.train.load_models import LoadedModel


def export_sharded_policy(policy: Scorer, start: LoadedModel, folder: Path, *, main: bool) -> None:
    """Writes the policy, merged if it is adapted. All processes must call it, to exchange weights.

    Args:
        policy: A trained and sharded policy, which must not be trained further.
        start: The model that training started from, for its tokenizer and its attention.
        folder: The folder to write. It is written next to the target and then renamed.
        main: Whether this process writes.

    Raises:
        ModelError: When the model should become a sequence classifier and cannot.
        NotFiniteError: When an adapter's update and the weights add up to nothing finite.
    """
    model: Any = policy.model
    base = base_of(model)
    # Other programs do not know the attention of packed rows.
    base.set_attn_implementation(start.attention)
    heads = gather_heads(policy.heads)
    with whole_folder(folder) if main else nullcontext() as partial:
        if base is not model:
            adapter = gather_adapter(model)
            if partial is not None:
                save_adapter(partial, model, adapter)
            untie_adapted_head(base)
        files = WeightFiles(partial, file_bytes=FILE_BYTES)
        if becomes_classifier(policy.wanted):
            notes = replace(start.notes, score_at="completion-end")
            (output,) = heads.values()
            _write_classifier(files, partial, model, output, start.tokenizer)
        else:
            notes = start.notes
            for tensors in _finite_weights(model):
                files.add(tensors)
            if partial is not None:
                write_all_but_weights(partial, base, start.tokenizer)
                write_heads(partial, heads)
        files.close()
        if partial is not None:
            write_notes(partial, notes)


def _write_classifier(
    files: WeightFiles, folder: Path | None, model: Any, output: Tensor, tokenizer: Any
) -> None:
    give_own_padding(tokenizer)
    classifier, name = classifier_skeleton(base_of(model), tokenizer)
    for tensors in _of_body(model, len(tokenizer)):
        files.add(tensors)
    files.add({name: output})
    if folder is not None:
        write_all_but_weights(folder, classifier, tokenizer)


def _finite_weights(model: Any) -> Iterator[Mapping[str, Tensor]]:
    """Yields the weights of a model, and checks those of a model that is merged for it."""
    for tensors in whole_weights(model):
        if base_of(model) is not model and (bad := look_over(tensors.items()).bad) is not None:
            raise not_merged(bad)
        yield tensors


def _of_body(model: Any, vocabulary: int) -> Iterator[Mapping[str, Tensor]]:
    """Yields the weights of a model without its output head, with rows for all tokens."""
    base = base_of(model)
    prefix, embeddings = f"{base.base_model_prefix}.", base.get_input_embeddings()
    embedding = next(f"{n}.weight" for n, module in base.named_modules() if module is embeddings)
    for tensors in _finite_weights(model):
        yield {
            name: with_rows(tensor, vocabulary) if name == embedding else tensor
            for name, tensor in tensors.items()
            if name.startswith(prefix)
        }
