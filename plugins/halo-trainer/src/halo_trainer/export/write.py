"""Writes an exported folder: weights, tokenizer, spec and model card; all of it or nothing."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError

from halo_core.errors import ModelError, PathError, UserError
from halo_core.workspace.disk import check_room
from halo_core.workspace.files import whole_folder
from halo_core.workspace.records import SPEC
from halo_trainer.export.card import License, model_card, spec_text
from halo_trainer.export.origin import Origin, origin_of
from halo_trainer.export.source import ExportSource, checked_model
from halo_trainer.export.weights import (
    ADAPTER_WEIGHTS,
    Precision,
    StoredWeights,
    chosen_precision,
    other_files,
    stored_weights,
    write_adapter,
    write_merged,
)

CARD = "README.md"
"""The file of the model card."""


@dataclass(frozen=True)
class Request:
    """The folder to write and its form.

    Attributes:
        folder: The folder to write, which must not exist.
        precision: The precision of the weights; None for the stored one.
        adapter: Whether to write the adapter instead of the whole model.
        base_model: The model that the adapter belongs to; None for the one on the hub that the
            stage started from.
        max_shard_size: Largest file of weights, such as ``5GB``.
        license: The licence.
        name: The name to load the model by: an id of the hub, or ``.`` for its folder.
    """

    folder: Path
    precision: Precision | None
    adapter: bool
    base_model: str | None
    max_shard_size: str
    license: License
    name: str


@dataclass(frozen=True)
class Exported:
    """The facts about an exported folder.

    Attributes:
        precision: The precision of the weights.
        stored: The weights as the stage stored them.
        base_model: The base model: its id on the hub, or words.
        checked: Whether the files of the model were compared with check values.
    """

    precision: Precision
    stored: StoredWeights
    base_model: str
    checked: bool


def check_folder(folder: Path) -> None:
    """Refuses a folder that exists. Nothing is ever overwritten.

    Raises:
        PathError: When there is something of this name.
    """
    if folder.exists() or folder.is_symlink():
        raise PathError(
            "there is something of this name; expected the name of a new folder, because nothing "
            "is overwritten. Name another one, or remove it",
            location=str(folder),
        )


def export(source: ExportSource, request: Request) -> Exported:
    """Writes a stage's model, or its adapter, into a new folder.

    Raises:
        PathError: When the folder exists or cannot be written.
        ModelError: When there is no adapter, or the model cannot be loaded.
        UserError: When the adapter's base model has no name.
        DataError: When a file of the run is not as it was written.
        BusyError: When the stage is being computed again.
        DiskError: When there is too little room.
    """
    check_folder(request.folder)
    with checked_model(source) as checked:
        origin = origin_of(source)
        base = _adapter_base(source, origin, request) if request.adapter else None
        kept = source.adapter if request.adapter else source.model
        stored = stored_weights(kept)
        precision = chosen_precision(stored, request.precision, kept)
        others = sum(path.stat().st_size for path in other_files(source.model))
        check_room(request.folder.parent, stored.size(precision) + others, "the exported model")
        try:
            with whole_folder(request.folder) as partial:
                if base is None:
                    write_merged(
                        source.model, partial, precision, max_shard_size=request.max_shard_size
                    )
                else:
                    write_adapter(source.model, partial, precision, base=base)
                _describe(source, origin, stored, precision, request, base, partial)
                check_folder(request.folder)  # Loading a large model takes a while.
        except (OSError, SafetensorError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise PathError(
                f"the export cannot be written: {reason}; expected a place that can be written to",
                location=str(request.folder),
            ) from error
    words = base if base is not None else origin.base.words
    return Exported(precision, stored, words, checked)


def _describe(
    source: ExportSource,
    origin: Origin,
    stored: StoredWeights,
    precision: Precision,
    request: Request,
    base: str | None,
    folder: Path,
) -> None:
    card = model_card(
        source,
        origin,
        stored,
        precision,
        license_=request.license,
        adapter_base=base,
        name=request.name,
    )
    (folder / CARD).write_text(card, encoding="utf-8")
    if spec := spec_text(source):
        (folder / SPEC).write_text(spec, encoding="utf-8")


def _adapter_base(source: ExportSource, origin: Origin, request: Request) -> str:
    """Returns the name of the model that an adapter belongs to."""
    if not (source.adapter / ADAPTER_WEIGHTS).is_file():
        raise ModelError(
            f"the stage {source.id!r} has no adapter; expected one with the option lora. Leave "
            "--adapter out to export the whole model",
            location=source.run.name,
        )
    if request.base_model is not None:
        return request.base_model
    if origin.start.name is None:
        raise UserError(
            f"the adapter belongs to {origin.start.words}, which has no name that others can load; "
            "expected a model on the hub. Name the model or folder with --base-model, after "
            "exporting it if it is of this run; or leave --adapter out to export the merged model",
            location=source.run.name,
        )
    return origin.start.name
