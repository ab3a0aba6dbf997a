"""The files of a checkpoint whose tensors are spread over the processes of a training.

Each process writes what it holds into a file of its own, waits until it is on the disk, and leaves
a note. Rank 0 waits for the notes of all, writes the index, and gives the checkpoint its name. No
process talks to another one, so threads can do it while the training continues. The files meet in
a folder that does not count as a checkpoint: if a process is killed, none comes into being.

torch's `HuggingFaceStorageWriter` pickles nothing either, but it needs collectives, which a thread
must not use, and it writes no check values.
"""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from safetensors.torch import save_file
from torch import Tensor

from halo_core.errors import DiskError
from halo_core.workspace.check_values import check_value
from halo_core.workspace.files import make_durable, whole_after
from halo_core.workspace.records import (
    CHECKPOINT,
    SHARD,
    SHARDS,
    CheckpointRecord,
    FileCheck,
    SavedPiece,
    SavedTensor,
    ShardRecord,
    ShardsRecord,
)
from halo_models.shards import local
from halo_trainer.train.checkpoints.pieces import is_mine, region_of

LOOK_S = 0.02
"""Seconds between two looks for the notes of other processes."""


def shard_name(rank: int, processes: int) -> str:
    """Returns the name of the file of a process.

    >>> shard_name(1, 4)
    'shard-00001-of-00004.safetensors'
    """
    return f"shard-{rank:05d}-of-{processes:05d}.safetensors"


@dataclass(frozen=True)
class Part:
    """A process's part of a checkpoint.

    Attributes:
        rank: Rank of the process.
        processes: Number of processes.
        values: The piece of each tensor that it holds, by the tensor's name in the index.
        tensors: The shape of each whole tensor, and the place of the process's piece.
    """

    rank: int
    processes: int
    values: Mapping[str, Tensor]
    tensors: Mapping[str, SavedTensor]


def part_of(tensors: Mapping[str, Tensor], *, rank: int, processes: int, copied: bool) -> Part:
    """Returns this process's part of tensors.

    Args:
        tensors: Tensors by name. Rank 0 takes those that are not sharded.
        rank: Rank of this process.
        processes: Number of processes.
        copied: Whether to copy the numbers now. Otherwise they must not change until they are
            written.
    """
    name_of_file = shard_name(rank, processes)
    mine = {name: t for name, t in tensors.items() if is_mine(t, main=rank == 0)}
    saved = {}
    for name, tensor in mine.items():
        region = region_of(tensor)
        piece = SavedPiece(file=name_of_file, offset=list(region.offset), shape=list(region.shape))
        saved[name] = SavedTensor(shape=list(tensor.shape), pieces=[piece])
    values = {
        name: local(tensor).to("cpu", copy=copied).contiguous() for name, tensor in mine.items()
    }
    return Part(rank, processes, values, saved)


def write_part(partial: Path, part: Part) -> None:
    """Writes the part of this process, then the note that it is on the disk.

    Args:
        partial: The folder in which the parts meet.
        part: The part.
    """
    file = partial / shard_name(part.rank, part.processes)
    save_file(dict(part.values), file)
    make_durable(file)
    note = _note_folder(partial, part.rank)
    note.mkdir()
    record = ShardRecord(file=file.name, check=check_value(file), tensors=dict(part.tensors))
    SHARD.write(note, record)


def _note_folder(partial: Path, rank: int) -> Path:
    return partial / f"rank-{rank:05d}"


class MissingPart(DiskError):
    """The part of another process did not come. That process has the cause."""


@dataclass
class Others:
    """The failures of other processes that rank 0 knows while it waits for their parts.

    Attributes:
        failed: Set if one of them has not written its part.
        until: Time by `time.monotonic` until which it waits; None for as long as it takes.
    """

    failed: threading.Event = field(default_factory=threading.Event)
    until: float | None = None


def join_parts(
    partial: Path,
    folder: Path,
    record: CheckpointRecord,
    *,
    texts: Mapping[str, str],
    processes: int,
    others: Others,
) -> None:
    """Waits for all parts, and makes a checkpoint of them. Rank 0 calls it.

    Args:
        partial: The folder in which the parts meet.
        folder: The folder of the checkpoint.
        record: The progress of the training.
        texts: Step and age of a reference that changes.
        processes: Number of processes.
        others: The failures of other processes that are known.

    Raises:
        DiskError: When a part does not come. Nothing is left of the checkpoint.
    """
    with whole_after(partial, folder):
        tensors: dict[str, SavedTensor] = {}
        checks: dict[str, FileCheck] = {}
        for note in _notes(partial, processes, others):
            checks[note["file"]] = note["check"]
            for name, saved in note["tensors"].items():
                known = tensors.setdefault(name, SavedTensor(shape=saved["shape"], pieces=[]))
                known["pieces"] += saved["pieces"]
        for rank in range(processes):
            shutil.rmtree(_note_folder(partial, rank))
        SHARDS.write(partial, ShardsRecord(processes=processes, tensors=tensors, texts=dict(texts)))
        checks[SHARDS.name] = check_value(partial / SHARDS.name)
        CHECKPOINT.write(partial, CheckpointRecord(**record, files=checks))


def _notes(partial: Path, processes: int, others: Others) -> Iterator[ShardRecord]:
    """Yields the notes of all processes, in the order of ranks, as soon as they are there."""
    for rank in range(processes):
        while (note := SHARD.read(_note_folder(partial, rank))) is None:
            late = others.until is not None and time.monotonic() > others.until
            if late or others.failed.wait(LOOK_S):
                raise MissingPart(
                    f"rank {rank} has not written its part; the checkpoint before is complete",
                    location=str(partial),
                )
        yield note
