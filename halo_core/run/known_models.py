"""Facts about the model that a spec starts from, without its weights: sizes and configuration."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from halo_core.errors import DataError
from halo_core.spec.base_model import BaseModel
from halo_core.stage import KnownModel

CONFIG = "config.json"
"""The file with the configuration of a model, in its folder."""


def known_base(model: BaseModel) -> KnownModel:
    """Returns what is known about the model that a spec starts from.

    Args:
        model: A model on disk or on the hub. Nothing is fetched.

    Raises:
        DataError: When the header of a file of weights is damaged.
    """
    if model.path is not None:
        return KnownModel(weights=folder_parameters(model.path), config=folder_config(model.path))
    weights = parameters_in_name(model.hub or "")
    return KnownModel(weights=weights, hub=model.hub, revision=model.revision)


def folder_config(folder: Path) -> Mapping[str, Any] | None:
    """Returns the configuration of the model in a folder; None if it cannot be read."""
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None  # Other checks tell this mistake; here it only means that nothing is known.
    return config if isinstance(config, dict) else None


_SIZE = re.compile(r"(?<![\w.])(\d+(?:\.\d+)?)([bBmM])(?![A-Za-z0-9])")
_SCALES = {"b": 1e9, "m": 1e6}


def parameters_in_name(name: str) -> int | None:
    """Returns the rounded number of weights in the name of a model, or None.

    >>> parameters_in_name("EleutherAI/pythia-1.4b"), parameters_in_name("x/opt-350m-it")
    (1400000000, 350000000)
    >>> parameters_in_name("mistralai/Mixtral-8x7B-v0.1"), parameters_in_name("gpt2")
    (None, None)
    """
    size = _SIZE.search(name.rpartition("/")[2])
    return round(float(size[1]) * _SCALES[size[2].lower()]) if size else None


def folder_parameters(folder: Path) -> int | None:
    """Returns the number of weights in the safetensors files of a folder, from their headers.

    Raises:
        DataError: When a header is damaged. The error names the file.
    """
    files = sorted(folder.glob("*.safetensors"))
    return sum(_file_parameters(path) for path in files) if files else None


def _file_parameters(path: Path) -> int:
    try:
        shapes = [tensor["shape"] for tensor in _header(path).values()]
        return sum(map(math.prod, shapes))
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        raise DataError(
            "the header cannot be read; expected a safetensors file. Copy or download the model "
            "again",
            location=str(path),
        ) from None


def _header(path: Path) -> dict[str, Any]:
    """Returns the header of a safetensors file, which maps tensors to their shapes and places.

    Raises:
        ValueError: When it is cut off or is not JSON.
    """
    with path.open("rb") as file:
        begin = file.read(8)
        length = int.from_bytes(begin, "little")
        # With a damaged length, Python would allocate that much memory.
        if len(begin) < 8 or length > path.stat().st_size:
            raise ValueError
        header: dict[str, Any] = json.loads(file.read(length))
    header.pop("__metadata__", None)
    return header
