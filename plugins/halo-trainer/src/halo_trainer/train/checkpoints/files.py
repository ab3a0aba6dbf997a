"""The files of one checkpoint: how they are written, compared with their check values, and read."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from halo_core.errors import DataError, DiskError, VersionError
from halo_core.hashing import file_hash
from halo_core.workspace.check_values import damages
from halo_core.workspace.files import whole_folder, write_text
from halo_core.workspace.records import CHECKPOINT, CheckpointRecord, FileCheck
from halo_trainer.train.checkpoints.train_state import TrainState, state_from
from halo_trainer.train.optimizers import Named, load_state_tensors, state_tensors
from halo_trainer.train.reference.refresh import FILE as REFERENCE, RefreshedReference

WEIGHTS = "weights.safetensors"
OPTIMIZER = "optimizer.safetensors"


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
    """All that a checkpoint holds.

    Attributes:
        record: The progress of the training.
        files: A function for the content of each file, by the file's name.
    """

    record: CheckpointRecord
    files: Mapping[str, Callable[[], TensorFile]]


def contents_of(
    state: TrainState,
    parameters: Named,
    optimizer: torch.optim.Optimizer,
    reference: RefreshedReference | None,
    *,
    copied: bool,
) -> Contents:
    """Returns what a checkpoint of a training holds now.

    Args:
        state: The progress of the training.
        parameters: Trained parameters by name.
        optimizer: Their optimiser.
        reference: A reference that changes in training.
        copied: Whether to copy everything into host memory now. Otherwise the checkpoint must be
            written before the next step.
    """

    def made(make: Callable[[], TensorFile]) -> Callable[[], TensorFile]:
        if not copied:
            return make
        file = make()
        return lambda: file

    def held(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {
            name: tensor.detach().to("cpu", copy=copied).contiguous()
            for name, tensor in tensors.items()
        }

    files = {
        WEIGHTS: made(lambda: TensorFile(held(dict(parameters)))),
        OPTIMIZER: made(lambda: TensorFile(held(state_tensors(optimizer, parameters)))),
    }
    if reference is not None:
        files[REFERENCE] = made(lambda: TensorFile(held(reference.tensors), reference.place))
    return Contents(state.record(), files)


def write_checkpoint(folder: Path, contents: Contents) -> None:
    """Writes a checkpoint with the check values of its files. It is whole or absent.

    Raises:
        DiskError: When the disk is full, or does not take the files.
    """
    with _told_of_disk(folder), whole_folder(folder) as partial:
        checks = {}
        for name, content in contents.files.items():
            file = content()
            save_file(dict(file.tensors), partial / name, metadata=_plain(file.metadata))
            size = (partial / name).stat().st_size
            checks[name] = FileCheck(sha256=file_hash(partial / name), size=size)
        CHECKPOINT.write(partial, CheckpointRecord(**contents.record, files=checks))


def write_note(path: Path, text: str) -> None:
    """Writes a text for people who look at the checkpoints.

    Raises:
        DiskError: When the disk is full, or does not take the file.
    """
    with _told_of_disk(path):
        write_text(path, text)


@contextmanager
def _told_of_disk(path: Path) -> Iterator[None]:
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


def restore_all(
    folder: Path,
    parameters: Named,
    optimizer: torch.optim.Optimizer,
    reference: RefreshedReference | None,
) -> TrainState:
    """Restores a training from a whole checkpoint, and returns its state."""
    restore_weights(folder, parameters)
    load_state_tensors(optimizer, parameters, load_file(folder / OPTIMIZER))
    if reference is not None:
        reference.read(folder)
    return read_state(folder)


def restore_weights(folder: Path, parameters: Named) -> None:
    """Restores only the weights of a checkpoint."""
    weights = load_file(folder / WEIGHTS)
    with torch.no_grad():
        for name, parameter in parameters:
            parameter.copy_(weights[name])


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
