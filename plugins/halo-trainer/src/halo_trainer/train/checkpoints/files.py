"""The files of one checkpoint: how they are written and compared with their check values."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from halo_core.errors import DataError, DiskError, VersionError
from halo_core.hashing import file_hash
from halo_core.workspace.check_values import damages
from halo_core.workspace.files import whole_folder, write_text
from halo_core.workspace.records import CHECKPOINT, SHARDS, CheckpointRecord, FileCheck
from halo_trainer.train.checkpoints.pieces import are_sharded
from halo_trainer.train.checkpoints.saved_tensors import KINDS, Kind, file_of
from halo_trainer.train.checkpoints.shard_files import Part, part_of
from halo_trainer.train.checkpoints.train_state import TrainState, state_from
from halo_trainer.train.optimizers import Named, state_tensors
from halo_trainer.train.reference.refresh import RefreshedReference

Made = TypeVar("Made")

WEIGHTS, OPTIMIZER, REFERENCE = (file_of(kind) for kind in KINDS)


@dataclass(frozen=True)
class TensorFile:
    """The content of a safetensors file.

    Attributes:
        tensors: Tensors by name, in host memory.
        metadata: Texts by name.
    """

    tensors: Mapping[str, Tensor]
    metadata: Mapping[str, str] | None = None


@dataclass(frozen=True)
class Contents:
    """All that a process writes of a checkpoint.

    Attributes:
        record: The progress of the training.
        files: A function for the content of each file, by the file's name, if this process writes
            all of the checkpoint.
        part: A function for this process's part, if the tensors are spread over the processes.
        texts: The texts of the reference; empty if there is none.
    """

    record: CheckpointRecord
    files: Mapping[str, Callable[[], TensorFile]]
    part: Callable[[], Part] | None = None
    texts: Mapping[str, str] = field(default_factory=dict)


def contents_of(
    state: TrainState,
    parameters: Named,
    optimizer: torch.optim.Optimizer,
    reference: RefreshedReference | None,
    *,
    copied: bool,
    rank: int = 0,
) -> Contents:
    """Returns what this process writes of a checkpoint now.

    Args:
        state: The progress of the training.
        parameters: Trained parameters by name.
        optimizer: Optimiser of the parameters.
        reference: A reference that changes in training.
        copied: Whether to copy everything into host memory now. Otherwise the checkpoint must be
            written before the next step.
        rank: Rank of this process. Only rank 0 writes tensors that are not sharded.
    """
    texts = {} if reference is None else dict(reference.place)
    if is_spread_out(parameters):
        tensors = tensors_of(parameters, optimizer, reference)
        part = partial(part_of, tensors, rank=rank, processes=state.processes or 1, copied=copied)
        return Contents(state.record(), {}, _made(part, now=copied), texts)

    def held(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {
            name: tensor.detach().to("cpu", copy=copied).contiguous()
            for name, tensor in tensors.items()
        }

    files = {
        WEIGHTS: _made(lambda: TensorFile(held(dict(parameters))), now=copied),
        OPTIMIZER: _made(
            lambda: TensorFile(held(state_tensors(optimizer, parameters))), now=copied
        ),
    }
    if reference is not None:
        files[REFERENCE] = _made(
            lambda: TensorFile(held(reference.tensors), reference.place), now=copied
        )
    return Contents(state.record(), files, texts=texts)


def _made(make: Callable[[], Made], *, now: bool) -> Callable[[], Made]:
    if not now:
        return make
    made = make()
    return lambda: made


def is_spread_out(parameters: Named) -> bool:
    """Returns whether each process writes a part of a checkpoint of these parameters."""
    return are_sharded([parameter for _, parameter in parameters])


def tensors_of(
    parameters: Named, optimizer: torch.optim.Optimizer, reference: RefreshedReference | None
) -> dict[str, Tensor]:
    """Returns all tensors of a checkpoint by their names in its index."""
    kinds: dict[Kind, Mapping[str, Tensor]] = {
        "weights": dict(parameters),
        "optimizer": state_tensors(optimizer, parameters),
        "reference": {} if reference is None else reference.tensors,
    }
    return {f"{kind}/{name}": t for kind, tensors in kinds.items() for name, t in tensors.items()}


def write_checkpoint(folder: Path, contents: Contents) -> None:
    """Writes a checkpoint with the check values of its files. It is whole or absent.

    Raises:
        DiskError: When the disk is full or fails, or does not take the files.
    """
    with told_of_disk(folder), whole_folder(folder) as partial_folder:
        checks = {}
        for name, content in contents.files.items():
            file = content()
            path = partial_folder / name
            save_file(dict(file.tensors), path, metadata=_plain(file.metadata))
            checks[name] = FileCheck(sha256=file_hash(path), size=path.stat().st_size)
        CHECKPOINT.write(partial_folder, CheckpointRecord(**contents.record, files=checks))


def write_note(path: Path, text: str) -> None:
    """Writes a text for people who look at the checkpoints.

    Raises:
        DiskError: When the disk is full or fails, or does not take the file.
    """
    with told_of_disk(path):
        write_text(path, text)


@contextmanager
def told_of_disk(path: Path) -> Iterator[None]:
    """Turns an error of the disk into one that says that a checkpoint cannot be written.

    Raises:
        DiskError: Instead of any other error of the disk.
    """
    try:
        yield
    except (OSError, SafetensorError) as error:
        raise DiskError(
            f"the checkpoint cannot be written: {error}. Look at the disk and at the rights of "
            "this folder; then run the same command again to continue from the checkpoint before",
            location=str(path),
        ) from error


def remove_checkpoint(folder: Path) -> None:
    """Removes a checkpoint. It is whole or absent, even if the process is killed.

    Raises:
        DiskError: When it cannot be removed.
    """
    going = folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:8]}.partial")
    try:
        folder.rename(going)
        shutil.rmtree(going)
    except OSError as error:
        raise DiskError(
            f"the checkpoint cannot be removed: {error}. Look at the rights of this folder; then "
            "run the same command again to continue from the latest checkpoint",
            location=str(folder),
        ) from error


def _plain(metadata: Mapping[str, str] | None) -> dict[str, str] | None:
    return None if metadata is None else dict(metadata)


@dataclass(frozen=True)
class Damage:
    """A file of a checkpoint that differs from what was written.

    Attributes:
        path: The file.
        what: The problem.
    """

    path: Path
    what: str

    def __str__(self) -> str:
        return f"{self.path} {self.what}"


def read_record(folder: Path) -> CheckpointRecord | Damage:
    """Returns the record of a checkpoint, or its damage.

    Raises:
        VersionError: When a newer halo wrote it.
    """
    path = folder / CHECKPOINT.name
    try:
        record = CHECKPOINT.read(folder)
    except VersionError:
        raise
    except DataError as error:
        return Damage(path, error.message.removesuffix(f". {CHECKPOINT.mend}"))
    except OSError as error:
        return Damage(path, f"cannot be read: {error.strerror}")
    return Damage(path, "is gone") if record is None else record


def damage_of(folder: Path, record: CheckpointRecord, *, with_reference: bool) -> Damage | None:
    """Returns the damage of a checkpoint's files; None if there is none.

    Files without a check value, from an older halo, must have the size that their header tells.

    Args:
        folder: The folder of the checkpoint.
        record: Its record.
        with_reference: Whether the training needs a reference from it.
    """
    needed = [WEIGHTS, OPTIMIZER, *([REFERENCE] if with_reference else [])]
    checks = record.get("files", {})
    if SHARDS.name in checks:  # All other files are in the same record.
        needed = []
    try:
        found = damages(folder, checks)
    except (OSError, KeyError, TypeError) as error:
        return Damage(folder, f"cannot be read: {error}")
    for name in needed:
        if name not in checks and (unreadable := _unreadable(folder / name)) is not None:
            found[name] = unreadable
    return next((Damage(folder / name, what) for name, what in found.items()), None)


def _unreadable(path: Path) -> str | None:
    if not path.is_file():
        return "is gone"
    try:
        with safe_open(path, framework="pt"):
            return None
    except (OSError, SafetensorError) as error:
        return f"cannot be read: {error}"


def read_state(folder: Path) -> TrainState:
    """Returns the state of the training at a checkpoint.

    Raises:
        DataError: When its record is gone or damaged.
    """
    return state_from(_whole_record(folder))


def check_whole(folder: Path) -> None:
    """Compares the files of a checkpoint with their check values before they are used.

    Raises:
        DataError: When a file is damaged.
    """
    damage = damage_of(folder, _whole_record(folder), with_reference=False)
    if damage is not None:
        raise _error(damage)


def _whole_record(folder: Path) -> CheckpointRecord:
    record = read_record(folder)
    if isinstance(record, Damage):
        raise _error(record)
    return record


def _error(damage: Damage) -> DataError:
    what = f"{damage.what}; expected the file as it was written. {CHECKPOINT.mend}"
    return DataError(what, location=str(damage.path))
