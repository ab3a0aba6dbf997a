"""How many weights a model has, by its name or its files, without torch."""

from __future__ import annotations

import json
import math
import re
import struct
from pathlib import Path

_SIZE = re.compile(r"(?<![\w.])(\d+(?:\.\d+)?)([bBmM])(?![A-Za-z0-9])")
_SCALES = {"b": 1e9, "m": 1e6}


def parameters_in_name(name: str) -> int | None:
    """Returns the rounded number of weights that the name of a model tells, or None.

    >>> parameters_in_name("EleutherAI/pythia-1.4b"), parameters_in_name("x/opt-350m-it")
    (1400000000, 350000000)
    >>> parameters_in_name("mistralai/Mixtral-8x7B-v0.1"), parameters_in_name("gpt2")
    (None, None)
    """
    found = _SIZE.search(name.rpartition("/")[2])
    return round(float(found[1]) * _SCALES[found[2].lower()]) if found else None


def folder_parameters(folder: Path) -> int | None:
    """Returns the weights in the safetensors files of a model folder, from their headers."""
    files = sorted(folder.glob("*.safetensors"))
    return sum(_file_parameters(path) for path in files) if files else None


def _file_parameters(path: Path) -> int:
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
    header.pop("__metadata__", None)
    return sum(math.prod(tensor["shape"]) for tensor in header.values())
