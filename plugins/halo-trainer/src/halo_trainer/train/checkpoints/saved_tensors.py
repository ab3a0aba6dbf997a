"""Reads the tensors of a checkpoint. A process reads only the numbers that it holds.

A checkpoint of one process has a file for each kind of tensors. One of several processes that
shared the tensors has a file of each process, and an index. The number of processes that read may
be another one than the number of those that wrote.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

import torch
from safetensors import safe_open
from torch import Tensor

from halo_core.errors import DataError
from halo_core.workspace.records import CHECKPOINT, SHARDS
from halo_models.shards import local
from halo_trainer.train.checkpoints.pieces import (
    Region,
    laid_out_like,
    region_of,
    whole_region,
)

Kind = Literal["weights", "optimizer", "reference"]
KINDS: tuple[Kind, ...] = ("weights", "optimizer", "reference")


@dataclass(frozen=True)
class _Piece:
    file: str
    key: str
    region: Region


@dataclass(frozen=True)
class _Saved:
    shape: tuple[int, ...]
    pieces: list[_Piece]


class SavedTensors:
    """The tensors of a checkpoint, which stay on the disk until they are asked for.

    Use it as a context: its files are open until its end.

    Args:
        folder: The folder of the checkpoint.

    Attributes:
        texts: The texts that were saved with the reference.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._stack = ExitStack()
        self._files: dict[str, Any] = {}
        self.texts: Mapping[str, str] = {}
        self._saved: dict[str, _Saved] = {}

    def __enter__(self) -> Self:
        index = SHARDS.read(self._folder)
        if index is None:
            self._look_into_files()
            return self
        self.texts = index["texts"]
        for name, saved in index["tensors"].items():
            pieces = [
                _Piece(piece["file"], name, Region(tuple(piece["offset"]), tuple(piece["shape"])))
                for piece in saved["pieces"]
            ]
            self._saved[name] = _Saved(tuple(saved["shape"]), pieces)
        return self

    def __exit__(self, *error: object) -> None:
        self._files.clear()
        self._stack.close()

    def _look_into_files(self) -> None:
        """Finds the tensors of a checkpoint that one process wrote."""
        for kind in KINDS:
            name = file_of(kind)
            if not (self._folder / name).exists():
                continue
            opened = self._file(name)
            if kind == "reference":
                self.texts = opened.metadata() or {}
            for key in opened.keys():
                shape = tuple(opened.get_slice(key).get_shape())
                piece = _Piece(name, key, whole_region(shape))
                self._saved[f"{kind}/{key}"] = _Saved(shape, [piece])

    def _file(self, name: str) -> Any:
        if name not in self._files:
            opened = safe_open(self._folder / name, framework="pt")
            self._files[name] = self._stack.enter_context(opened)
        return self._files[name]

    def names(self, kind: Kind) -> Iterator[str]:
        """Yields the names of all tensors of a kind."""
        beginning = f"{kind}/"
        yield from (n.removeprefix(beginning) for n in self._saved if n.startswith(beginning))

    @torch.no_grad()
    def fill(self, kind: Kind, name: str, tensor: Tensor) -> None:
        """Writes the saved numbers into what this process holds of a tensor.

        Raises:
            DataError: When the checkpoint has no such tensor, or one of another shape.
        """
        saved = self._named(kind, name)
        if saved.shape != tuple(tensor.shape):
            raise self._lacks(f"{kind}/{name}", f"of shape {tuple(tensor.shape)}", saved.shape)
        self._fill(f"{kind}/{name}", saved, region_of(tensor), local(tensor))

    def like(self, kind: Kind, name: str, other: Tensor) -> Tensor:
        """Returns a saved tensor, sharded as another one if it has the shape of that.

        Args:
            kind: Its kind.
            name: Its name.
            other: The tensor whose device, shape and placement count.
        """
        saved = self._named(kind, name)
        sharded = saved.shape == tuple(other.shape)
        region = region_of(other) if sharded else whole_region(saved.shape)
        piece = saved.pieces[0]
        dtype = self._read(piece, _first(piece.region)).dtype
        # Counters stay in host memory. The optimiser moves them if it wants them elsewhere.
        values = torch.empty(
            region.shape, dtype=dtype, device=local(other).device if saved.shape else "cpu"
        )
        self._fill(f"{kind}/{name}", saved, region, values)
        return laid_out_like(other, values) if sharded else values

    def _named(self, kind: Kind, name: str) -> _Saved:
        try:
            return self._saved[f"{kind}/{name}"]
        except KeyError:
            raise self._lacks(f"{kind}/{name}", "among its tensors", None) from None

    def _fill(self, name: str, saved: _Saved, region: Region, values: Tensor) -> None:
        filled = 0
        for piece in saved.pieces:
            common = piece.region.common(region)
            if common is not None:
                found = self._read(piece, common)
                values[common.within(region)].copy_(found)
                filled += common.numel
        if filled != region.numel:
            raise self._lacks(name, f"whole: {region.numel:,} numbers", f"{filled:,} of them")

    def _read(self, piece: _Piece, region: Region) -> Tensor:
        file = self._file(piece.file)
        if not region.shape:  # A slice has at least one axis.
            whole: Tensor = file.get_tensor(piece.key)
            return whole
        values: Tensor = file.get_slice(piece.key)[region.within(piece.region)]
        return values

    def _lacks(self, name: str, expected: str, came: object) -> DataError:
        found = "" if came is None else f"; got {came}"
        return DataError(
            f"expected {name!r} {expected}{found}. {CHECKPOINT.mend}", location=str(self._folder)
        )


def _first(region: Region) -> Region:
    """Returns a block of one number, or of none."""
    return Region(region.offset, tuple(min(1, size) for size in region.shape))


def file_of(kind: Kind) -> str:
    """Returns the name of the file of a kind in a checkpoint that one process wrote."""
    return f"{kind}.safetensors"
