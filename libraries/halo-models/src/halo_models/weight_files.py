"""Writes the weights of a model file by file, so that nobody holds all of them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor

FILE_BYTES = 4 * 10**9
"""Largest number of bytes of a file, unless one tensor alone has more."""


class WeightFiles:
    """Safetensors files that transformers and vLLM read: one, or several with an index.

    Args:
        folder: An existing folder; None to write nothing, as all processes but one do.
        file_bytes: Largest number of bytes of a file. As many are held in memory.
    """

    def __init__(self, folder: Path | None, *, file_bytes: int = FILE_BYTES) -> None:
        self._folder = folder
        self._file_bytes = file_bytes
        self._held: dict[str, Tensor] = {}
        self._names: list[list[str]] = []
        self._total = 0

    def add(self, tensors: Mapping[str, Tensor]) -> None:
        """Adds whole tensors by name. A full file is written at once."""
        if self._folder is None:
            return
        for name, tensor in tensors.items():
            if self._held and _bytes(self._held.values()) + _bytes([tensor]) > self._file_bytes:
                self._write()
            # Not a view of memory that is used again.
            self._held[name] = tensor.detach().to("cpu", copy=True).contiguous()

    def close(self) -> None:
        """Writes the rest and the index, and gives the files their final names."""
        if self._folder is None:
            return
        if self._held or not self._names:
            self._write()
        count = len(self._names)
        index: dict[str, str] = {}
        for number, names in enumerate(self._names, 1):
            final = f"model-{number:05}-of-{count:05}.safetensors"
            final = final if count > 1 else "model.safetensors"
            _draft(self._folder, number).rename(self._folder / final)
            index |= dict.fromkeys(names, final)
        if count > 1:
            whole: dict[str, Any] = {"metadata": {"total_size": self._total}, "weight_map": index}
            text = json.dumps(whole, indent=2, sort_keys=True) + "\n"
            (self._folder / "model.safetensors.index.json").write_text(text, encoding="utf-8")

    def _write(self) -> None:
        assert self._folder is not None
        self._names.append(list(self._held))
        self._total += _bytes(self._held.values())
        save_file(self._held, _draft(self._folder, len(self._names)), metadata={"format": "pt"})
        self._held = {}


def _draft(folder: Path, number: int) -> Path:
    return folder / f"model-{number:05}.partial"


def _bytes(tensors: Iterable[Tensor]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)
