"""The weights of an exported model: their stored precision and size, and writing them again."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file

from halo_core.errors import ModelError
from halo_core.stage import ModelInput
from halo_models.load import is_causal, load_classifier, load_model, read_config
from halo_trainer.model.heads import FILE as HEADS
from halo_trainer.model.lora import ADAPTER

Precision = Literal["float32", "bfloat16"]
"""Precision of exported weights."""
ADAPTER_WEIGHTS, ADAPTER_CONFIG = "adapter_model.safetensors", "adapter_config.json"
"""Files of an adapter, as peft names them."""
_DTYPES: Mapping[Precision, torch.dtype] = {
    name: getattr(torch, name) for name in get_args(Precision)
}
_STORED = {"F64": "float64", "F32": "float32", "BF16": "bfloat16", "F16": "float16"}


@dataclass(frozen=True)
class StoredWeights:
    """The weights of a folder, as its safetensors files list them.

    Attributes:
        count: Number of weights.
        dtype: The dtype of most weights: ``float32``, ``bfloat16`` and so on.
    """

    count: int
    dtype: str

    def size(self, precision: Precision) -> int:
        """Returns the number of bytes in a precision."""
        return self.count * _DTYPES[precision].itemsize


def stored_weights(folder: Path) -> StoredWeights:
    """Returns the number and the dtype of the weights in a folder. Only their list is read.

    Raises:
        ModelError: When the folder has no safetensors file, or one cannot be read.
    """
    counts: Counter[str] = Counter()
    for path in _weight_files(folder):
        try:
            with safe_open(path, framework="pt") as file:
                for name in file.keys():
                    part = file.get_slice(name)
                    counts[part.get_dtype()] += prod(part.get_shape())
        except (SafetensorError, OSError) as error:
            raise ModelError(
                f"the weights cannot be read ({error}); expected a safetensors file",
                location=str(path),
            ) from error
    if not counts:
        raise ModelError(
            "there are no weights here; expected safetensors files, the only ones that are "
            "exported",
            location=str(folder),
        )
    most = counts.most_common(1)[0][0]
    return StoredWeights(counts.total(), _STORED.get(most, most))


def chosen_precision(stored: StoredWeights, asked: Precision | None, folder: Path) -> Precision:
    """Returns the precision to write: the one that was asked for, or the stored one.

    Raises:
        ModelError: When none was asked for and the stored one is neither float32 nor bfloat16.
    """
    if asked is not None:
        return asked
    for precision in get_args(Precision):
        if stored.dtype == precision:
            return precision  # type: ignore[no-any-return]
    raise ModelError(
        f"the weights are stored as {stored.dtype}; expected float32 or bfloat16. Name one of the "
        "two with --precision",
        location=str(folder),
    )


def other_files(folder: Path) -> list[Path]:
    """Returns the files of a model folder that are exported as they are.

    These are all files but the weights and the configuration, which are written again.
    """
    weights = {*_weight_files(folder), *folder.glob("*.safetensors.index.json")}
    left = weights | {folder / "config.json"}
    return [path for path in sorted(folder.iterdir()) if path.is_file() and path not in left]


def write_merged(source: Path, folder: Path, precision: Precision, *, max_shard_size: str) -> None:
    """Writes a stage's whole model into a folder. An adapter is merged in it already.

    Args:
        source: The model's folder in the stage's folder.
        folder: An existing folder.
        precision: The precision of the weights.
        max_shard_size: Largest file of weights, such as ``5GB``. Larger models get several files
            and an index.

    Raises:
        ModelError: When transformers cannot load the model, or a weight is not finite in the
            precision.
    """
    model = ModelInput(str(source), None, "")
    network = _load(model, _DTYPES[precision])
    network.save_pretrained(folder, max_shard_size=max_shard_size)
    # The generation config and the tokenizer stay exactly as they were.
    for path in other_files(source):
        shutil.copyfile(path, folder / path.name)


def write_adapter(source: Path, folder: Path, precision: Precision, *, base: str) -> None:
    """Writes an adapter into a folder, with the tokenizer of its model.

    Args:
        source: The model's folder in the stage's folder.
        folder: An existing folder.
        precision: The precision of the factors.
        base: The model that the adapter belongs to: a hub id or a folder.

    Raises:
        ModelError: When a factor is not finite in the precision.
    """
    for path in other_files(source):
        shutil.copyfile(path, folder / path.name)
    factors = {
        name: factor.to(_DTYPES[precision]).contiguous()
        for name, factor in load_file(source / ADAPTER / ADAPTER_WEIGHTS).items()
    }
    for name, factor in factors.items():
        if not factor.isfinite().all():
            raise ModelError(
                f"the factor {name!r} is not finite in {precision}; expected finite numbers. "
                "Choose --precision float32",
                location=str(source / ADAPTER),
            )
    save_file(factors, folder / ADAPTER_WEIGHTS, metadata={"format": "pt"})
    config = json.loads((source / ADAPTER / ADAPTER_CONFIG).read_text(encoding="utf-8"))
    config["base_model_name_or_path"] = base
    text = json.dumps(config, indent=2, ensure_ascii=False) + "\n"
    (folder / ADAPTER_CONFIG).write_text(text, encoding="utf-8")


def is_classifier(folder: Path) -> bool:
    """Returns whether a model folder holds a reward model, and not a language model."""
    return not is_causal(read_config(ModelInput(str(folder), None, "")))


def _load(model: ModelInput, dtype: torch.dtype) -> Any:
    if is_causal(read_config(model)):
        return load_model(model, dtype=dtype, device="cpu")
    return load_classifier(model, dtype=dtype, device=torch.device("cpu")).network


def _weight_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*.safetensors") if path.name != HEADS)
