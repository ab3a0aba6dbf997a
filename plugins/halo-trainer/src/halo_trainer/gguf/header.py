"""Reads the header of a GGUF file: its architecture, its keys and its tensors, but no weights.

The package `gguf` takes seconds for a file with a large vocabulary. A spec must be checked without
it.

References:
    The specification of GGUF in the repository of ggml, docs/gguf.md (versions 2 and 3).
"""

from __future__ import annotations

import math
import os
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO

from halo_core.errors import ModelError
from halo_core.workspace.json_files import near_names, not_a_file

MAGIC = b"GGUF"
VERSIONS = (2, 3)
_ENDING = ".gguf"
_SCALARS = ("<B", "<b", "<H", "<h", "<I", "<i", "<f", "<?", "", "", "<Q", "<q", "<d")
"""The format of each type of value, by its number; "" for texts and arrays."""
_TEXT, _ARRAY = 8, 9
_MOST = 2**20
"""Largest number of tensors or keys. A file that claims more is damaged."""


@dataclass(frozen=True)
class GgufTensor:
    """A tensor as the header describes it.

    Attributes:
        name: Its name.
        shape: Its sizes, the fastest one first.
        type: The number of its type in ggml.
        offset: The place of its first byte, counted from the start of the file.
    """

    name: str
    shape: tuple[int, ...]
    type: int
    offset: int

    @property
    def count(self) -> int:
        """Its number of weights."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class GgufHeader:
    """The header of a GGUF file.

    Attributes:
        values: Values by key. Arrays are left out.
        keys: All keys.
        tensors: The tensors.
        size: Number of bytes of the file.
    """

    values: Mapping[str, Any]
    keys: Sequence[str]
    tensors: Sequence[GgufTensor]
    size: int

    @property
    def architecture(self) -> str:
        """The name of the architecture, as llama.cpp names it; "" if the file has none."""
        return str(self.values.get("general.architecture", ""))

    @property
    def weights(self) -> int:
        """Number of weights of all tensors."""
        return sum(tensor.count for tensor in self.tensors)


def read_header(path: Path) -> GgufHeader:
    """Returns the header of a GGUF file.

    Raises:
        ModelError: When there is no such file, it is not a GGUF file, it is cut off, or it is one
            part of a model in several files.
    """
    if not path.exists():
        raise ModelError(f"there is no such file.{near_names(path)}", location=str(path))
    if problem := not_a_file(path):
        raise ModelError(problem, location=str(path))
    if path.is_dir():
        raise ModelError(
            f"this is a folder; expected a file that ends in {_ENDING}. A folder saved by "
            "transformers is model: {path: FOLDER}",
            location=str(path),
        )
    stat = os.stat(path)
    return _read(path, stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=8)
def _read(path: Path, size: int, modified: int) -> GgufHeader:
    del modified  # It makes the cache notice that the file has changed.
    try:
        with path.open("rb") as file:
            header = _header(file, size, path)
    except (struct.error, EOFError, UnicodeDecodeError, OverflowError, MemoryError) as error:
        raise _damaged(path, size) from error
    except OSError as error:
        raise ModelError(f"cannot be read: {error}", location=str(path)) from error
    if (parts := header.values.get("split.count", 0)) > 1:
        raise ModelError(
            f"this is one of {int(parts)} files of a model; expected one file: join them with "
            "llama-gguf-split --merge",
            location=str(path),
        )
    if any(tensor.offset >= size for tensor in header.tensors):
        raise _damaged(path, size)
    return header


def _header(file: BinaryIO, size: int, path: Path) -> GgufHeader:
    magic = file.read(4)
    if magic != MAGIC:
        raise ModelError(
            f"this is not a GGUF file: it begins with {magic!r} instead of {MAGIC!r}. A folder "
            "saved by transformers is model: {path: FOLDER}",
            location=str(path),
        )
    version = _number(file, "<I")
    if version not in VERSIONS:
        raise ModelError(
            f"this GGUF file has version {version}; expected 2 or 3, in little-endian order",
            location=str(path),
        )
    tensors, keys = _number(file, "<Q"), _number(file, "<Q")
    if max(tensors, keys) > _MOST:
        raise _damaged(path, size)
    names, values = [], {}
    for _ in range(keys):
        name = _text(file)
        names.append(name)
        value = _value(file, _number(file, "<I"))
        if value is not None:
            values[name] = value
    listed = [_tensor(file) for _ in range(tensors)]
    alignment = int(values.get("general.alignment", 32)) or 1
    start = -(-file.tell() // alignment) * alignment
    placed = [GgufTensor(t.name, t.shape, t.type, start + t.offset) for t in listed]
    return GgufHeader(values, names, placed, size)


def _tensor(file: BinaryIO) -> GgufTensor:
    name = _text(file)
    shape = tuple(_number(file, "<Q") for _ in range(_number(file, "<I")))
    return GgufTensor(name, shape, _number(file, "<I"), _number(file, "<Q"))


def _value(file: BinaryIO, kind: int) -> Any:
    """Returns a value; None for an array, which is passed over."""
    if kind == _TEXT:
        return _text(file)
    if kind != _ARRAY:
        return _number(file, _format(kind))
    inner, count = _number(file, "<I"), _number(file, "<Q")
    if inner not in (_TEXT, _ARRAY):
        file.seek(count * struct.calcsize(_format(inner)), os.SEEK_CUR)
        return None
    for _ in range(count):
        if inner == _TEXT:
            file.seek(_number(file, "<Q"), os.SEEK_CUR)
        else:
            _value(file, _ARRAY)
    return None


def _format(kind: int) -> str:
    if kind >= len(_SCALARS):
        raise EOFError(f"no type of value has the number {kind}")
    return _SCALARS[kind]


def _number(file: BinaryIO, form: str) -> Any:
    return struct.unpack(form, file.read(struct.calcsize(form)))[0]


def _text(file: BinaryIO) -> str:
    length = _number(file, "<Q")
    content = file.read(length)
    if len(content) < length:
        raise EOFError
    return content.decode()


def _damaged(path: Path, size: int) -> ModelError:
    return ModelError(
        f"this GGUF file is cut off or damaged: it ends after {size:,} bytes, before its last "
        "tensor. Copy or download it again",
        location=str(path),
    )
