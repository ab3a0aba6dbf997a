"""Dequantises a GGUF file into a plain folder of transformers."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import torch

from halo_core.errors import ModelError
from halo_core.hashing import known_file_hash
from halo_core.stage import ModelInput, StageResult
from halo_core.workspace.disk import check_room
from halo_models.finite import check_weights
from halo_models.save import save_model_folder
from halo_models.skeleton import skeleton
from halo_trainer.gguf.header import GgufHeader
from halo_trainer.gguf.look_ahead import check_readable, read_config_and_tokenizer, reading

_IMPLIED = ("attention.key_length", "attention.value_length", "vocab_size")
"""Keys of an architecture that transformers need not read, because the tensors have the sizes."""


def dequantise(
    path: Path,
    folder: Path,
    dtype: Literal["float32", "bfloat16"],
    planned: str | None,
    warn: Callable[[str], None],
) -> StageResult:
    """Writes the model of a GGUF file as safetensors with its tokenizer, and returns its size.

    Args:
        path: The GGUF file.
        folder: The folder to write.
        dtype: The dtype in which the weights are saved.
        planned: The SHA-256 that names the output; None if it is not known.
        warn: Receives what transformers does not read of the file.

    Raises:
        ModelError: When the file is damaged or has changed, or transformers cannot read it whole.
        DiskError: When there is no room for the folder.
    """
    from transformers.utils import logging

    logging.disable_progress_bar()
    header, wanted = check_readable(path), getattr(torch, dtype)
    if planned not in (None, known_file_hash(path)):
        raise ModelError(
            "this file has changed since the run began; run the same command again, which starts "
            "from the new file",
            location=str(path),
        )
    check_room(folder, header.weights * wanted.itemsize, f"the dequantised model of {path.name}")
    config, tokenizer = read_config_and_tokenizer(path, header)
    model = _plain_model(path, header, config)
    check_weights(model, ModelInput(str(path), None, ""))
    for unread in _unread(header, model):
        warn(f"{path.name}: {unread}")
    model.to(wanted)
    save_model_folder(folder, model, tokenizer)
    parameters = sum(weight.numel() for weight in model.parameters())
    return StageResult(
        {"parameters": parameters, "vocabulary": len(tokenizer)},
        f"a {model.config.model_type} of {parameters / 1e6:.2f}M parameters, dequantised from "
        f"{path.name} (SHA-256 {known_file_hash(path)[:12]}...)",
    )


def _plain_model(path: Path, header: GgufHeader, config: Any) -> Any:
    """Returns the model of a file in float32, without what transformers adds for quantised ones."""
    from transformers import AutoModelForCausalLM
    from transformers.utils import quantization_config

    # Before 5.23, transformers always dequantised, and had no such option.
    kind = getattr(quantization_config, "GgufConfig", None)
    options = {} if kind is None else {"quantization_config": kind(dequantize=True)}
    with reading(path, header, "weights"):
        loaded, report = AutoModelForCausalLM.from_pretrained(
            path.parent,
            gguf_file=path.name,
            config=copy.deepcopy(config),
            dtype=torch.float32,
            output_loading_info=True,
            **options,
        )
    if missing := sorted(report["missing_keys"]):
        raise ModelError(
            f"the file has no tensor for {len(missing)} weights of {type(loaded).__name__}, among "
            f"them {missing[0]!r}; expected a whole model, without adapters or parts",
            location=str(path),
        )
    with reading(path, header, "weights"):
        plain = skeleton(config)
        plain.load_state_dict(loaded.state_dict(), assign=True)
        plain.tie_weights()
    return plain


def _unread(header: GgufHeader, model: Any) -> list[str]:
    """Returns what transformers does not read of a file, as texts for people."""
    from transformers.integrations.ggml import GGUF_CONFIG_MAPPING

    told = []
    name = header.architecture
    known = GGUF_CONFIG_MAPPING.get(name.replace("-", "_"), {})
    own = [key.removeprefix(f"{name}.") for key in header.keys if key.startswith(f"{name}.")]
    keys = [key for key in own if known and key not in known and key not in _IMPLIED]
    if keys:
        told.append(f"transformers does not read its keys {', '.join(keys)}")
    read = sum(weight.numel() for weight in model.parameters())
    if header.weights > read:
        told.append(f"it has {header.weights:,} weights, of which transformers reads {read:,}")
    return told
