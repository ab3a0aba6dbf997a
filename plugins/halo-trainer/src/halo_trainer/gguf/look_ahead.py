"""Checks whether transformers can read a GGUF file, and writes a sketch of its model."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from importlib.util import find_spec
from io import StringIO
from pathlib import Path
from typing import Any

from halo_core.errors import ModelError
from halo_core.stage import ModelInput
from halo_models.load import check_causal
from halo_trainer.gguf.header import GgufHeader, read_header


def gguf_mistakes(path: Path, sketch: Path) -> list[tuple[str, str]]:
    """Returns (option, message) pairs for a file that cannot be read; writes its sketch.

    Args:
        path: The GGUF file.
        sketch: The folder for the model's configuration and tokenizer.
    """
    try:
        header = check_readable(path)
        config, tokenizer = read_config_and_tokenizer(path, header)
    except ModelError as error:
        return [("file", str(error))]
    config.save_pretrained(sketch)
    tokenizer.save_pretrained(sketch)
    return []


def check_readable(path: Path) -> GgufHeader:
    """Returns the header of a file that transformers can read.

    Raises:
        ModelError: When it is not a whole GGUF file, the package `gguf` is absent, or transformers
            does not know its architecture, or the package one of its types.
    """
    header = read_header(path)
    if find_spec("gguf") is None:
        raise ModelError(
            "reading GGUF files needs the package gguf, which is not installed; run: "
            "pip install 'halo-trainer[gguf]'",
            location=str(path),
        )
    _check_architecture(header, path)
    _check_tensors(header, path)
    return header


def _check_architecture(header: GgufHeader, path: Path) -> None:
    import transformers
    from transformers.integrations.ggml import GGUF_CONFIG_MAPPING

    # transformers writes some names with another separator.
    known = {name.replace("_", "") for name in GGUF_CONFIG_MAPPING} - {"general", "tokenizer"}
    name = header.architecture
    if name.replace("_", "").replace("-", "") not in known:
        readable = ", ".join(sorted({*GGUF_CONFIG_MAPPING} - {"general", "tokenizer"}))
        raise ModelError(
            f"transformers {transformers.__version__} cannot read GGUF files of the architecture "
            f"{name!r}; it reads {readable}. If the model is also published as safetensors, use "
            "hub: or path:",
            location=str(path),
        )


def _check_tensors(header: GgufHeader, path: Path) -> None:
    import numpy as np
    from gguf import GGML_QUANT_SIZES, GGMLQuantizationType, dequantize

    for type_ in {tensor.type for tensor in header.tensors}:
        try:
            kind = GGMLQuantizationType(type_)
            dequantize(np.zeros((1, GGML_QUANT_SIZES[kind][1]), dtype=np.uint8), kind)
        except (ValueError, KeyError, NotImplementedError) as error:
            raise ModelError(
                f"the package gguf cannot dequantise tensors of the type {type_}: {error}. "
                "Expected a type such as F16, Q8_0 or Q4_K",
                location=str(path),
            ) from error
    for tensor in header.tensors:
        block, size = GGML_QUANT_SIZES[GGMLQuantizationType(tensor.type)]
        end = tensor.offset + tensor.count // block * size
        if end > header.size:
            raise ModelError(
                f"this GGUF file is cut off: its tensor {tensor.name} ends at byte {end:,}, and "
                f"the file ends after {header.size:,} bytes. Copy or download it again",
                location=str(path),
            )


def read_config_and_tokenizer(path: Path, header: GgufHeader) -> tuple[Any, Any]:
    """Returns the configuration and the tokenizer of a file, as transformers reads them.

    Raises:
        ModelError: When transformers cannot read one of them, or it is not a causal language model.
    """
    from transformers import AutoConfig, AutoTokenizer

    with reading(path, header, "configuration"):
        config = AutoConfig.from_pretrained(path.parent, gguf_file=path.name)
    # It is the name of the model in the file, which is neither a folder nor an id.
    vars(config).pop("_model_name_or_path", None)
    check_causal(config, ModelInput(str(path), None, ""))
    with reading(path, header, "tokenizer"):
        tokenizer = AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
    return config, tokenizer


@contextmanager
def reading(path: Path, header: GgufHeader, part: str) -> Iterator[None]:
    """Turns an error of transformers into one that names the file, without its progress bars.

    Raises:
        ModelError: Instead of any other error.
    """
    try:
        # transformers has no option for the progress bar of GGUF files.
        with redirect_stderr(StringIO()):
            yield
    except Exception as error:
        said = " ".join(str(error).split())[:300]
        raise ModelError(
            f"transformers cannot read the {part} of this GGUF file of the architecture "
            f"{header.architecture!r}: {type(error).__name__}: {said}. If the model is also "
            "published as safetensors, use hub: or path:",
            location=str(path),
        ) from error
