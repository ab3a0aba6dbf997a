"""The checkpoints of a training: everything needed to continue exactly, without pickle.

A checkpoint is a folder ``checkpoints/step-00000200`` with the trained weights, the optimiser's
state, `state.json` and, if it changes in training, the reference. The data position, the batch plan
and all random numbers are functions of the seed, the step and the rank, so only the step is stored
for them. It is not a model: it has only trained weights, without a configuration or a tokenizer.

If the tensors are spread over the processes, each process writes and reads its own part of them;
see `shard_files`. Another number of processes can continue from it.

Every process knows which checkpoints there are, and their scores, without looking at the disk. Rank
0 alone checks and removes them, and writes those that are not spread out.
"""

from __future__ import annotations

import shutil
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

import torch

from halo_core.workspace.check_values import CHECKPOINT_PREFIX
from halo_core.workspace.files import begun_folder
from halo_trainer.train.checkpoints.counts import Scores, steps_to_keep
from halo_trainer.train.checkpoints.files import (
    Contents,
    check_whole,
    read_state,
    remove_checkpoint,
    told_of_disk,
    write_checkpoint,
    write_note,
)
from halo_trainer.train.checkpoints.restoring import restore_all, restore_weights
from halo_trainer.train.checkpoints.shard_files import Others, join_parts, write_part
from halo_trainer.train.checkpoints.train_state import TrainState
from halo_trainer.train.optimizers import Named
from halo_trainer.train.reference.refresh import RefreshedReference

_READ_ME = """\
# Internal: states of a training, not models

If `halo run` was interrupted, it continues from the latest of these folders. A folder contains the
trained weights, the optimiser's state and `state.json`: the step, and `score`, the loss on the
first set of `evaluate` if it was measured at this step. It contains no configuration and no
tokenizer. A folder whose name begins with `damaged-` is not used: its files are not as they were
written.

When the stage is done, the model is in `../model`. With `export: best` it is that of the step with
the lowest score, otherwise that of the last step.
"""


@dataclass
class Checkpoints:
    """The checkpoints of a training.

    Attributes:
        folder: The folder of the checkpoints.
        keep_last: Number of the latest ones to keep while the training runs, at least 1.
        keep_best: Number of those with the lowest scores to keep then.
        main: Whether this process writes them, as rank 0 does.
        scores: Score of each checkpoint by step, alike on each process.
    """

    folder: Path
    keep_last: int
    keep_best: int
    main: bool = True
    scores: dict[int, float | None] = field(default_factory=dict)

    def note(self, step: int, score: float | None) -> Collection[int]:
        """Notes a checkpoint that will be written, and returns the steps not kept after it.

        Call it on each process.
        """
        self.scores[step] = score
        gone = set(self.scores) - steps_to_keep(self.scores, self.keep_last, self.keep_best)
        for each in gone:
            del self.scores[each]
        return gone

    def write(self, contents: Contents, no_longer_kept: Collection[int]) -> Path:
        """Writes a checkpoint, then removes others, and returns its folder. Call it on rank 0.

        Another thread may call it.

        Args:
            contents: The content of the checkpoint.
            no_longer_kept: Steps of the checkpoints to remove, from `note`.

        Raises:
            DiskError: When it cannot be written. The existing checkpoints stay complete.
        """
        folder = path_of(self.folder, contents.record["step"])
        write_checkpoint(folder, contents)
        self._written(no_longer_kept)
        return folder

    def begin(self, step: int) -> Path:
        """Returns the folder in which the parts of a sharded checkpoint meet. Call it on rank 0.

        Raises:
            DiskError: When it cannot be made.
        """
        folder = path_of(self.folder, step)
        with told_of_disk(folder):
            return begun_folder(folder)

    def write_part(
        self,
        meeting: Path,
        contents: Contents,
        no_longer_kept: Collection[int],
        others: Others,
    ) -> Path:
        """Writes this process's part of a checkpoint. Call it on each process.

        Rank 0 then waits for the parts of all, and makes a checkpoint of them. Another thread may
        call it.

        Args:
            meeting: The folder from `begin`.
            contents: The content of the checkpoint, with a part.
            no_longer_kept: Steps of the checkpoints to remove, from `note`.
            others: The failures of other processes that are known.

        Raises:
            DiskError: When it cannot be written. The existing checkpoints stay complete.
        """
        folder = path_of(self.folder, contents.record["step"])
        assert contents.part is not None
        part = contents.part()
        with told_of_disk(folder):
            try:
                write_part(meeting, part)
            except BaseException:
                if self.main:
                    shutil.rmtree(meeting, ignore_errors=True)
                raise
            if self.main:
                join_parts(
                    meeting,
                    folder,
                    contents.record,
                    texts=contents.texts,
                    processes=part.processes,
                    others=others,
                )
        if self.main:
            self._written(no_longer_kept)
        return folder

    def _written(self, no_longer_kept: Collection[int]) -> None:
        write_note(self.folder / "README.md", _READ_ME)
        for step in no_longer_kept:
            self._remove(step)

    def drop(self, step: int) -> None:
        """Removes the checkpoint of a step, if there is one. Call it on each process."""
        self.scores.pop(step, None)
        if self.main:
            self._remove(step)

    def _remove(self, step: int) -> None:
        if (folder := path_of(self.folder, step)).exists():
            remove_checkpoint(folder)

    def restore(
        self,
        scores: Scores,
        parameters: Named,
        optimizer: torch.optim.Optimizer,
        reference: RefreshedReference | None = None,
    ) -> TrainState:
        """Restores the latest checkpoint, and returns its state; a new state if there is none.

        Args:
            scores: The whole checkpoints, from `find_whole` on rank 0.
            parameters: Trained parameters by name.
            optimizer: Optimiser of the parameters.
            reference: A reference that changes in training.
        """
        self.scores = dict(scores)
        if not scores:
            return TrainState()
        return restore_all(path_of(self.folder, max(scores)), parameters, optimizer, reference)

    def check(self, step: int) -> None:
        """Compares the files of a checkpoint with their check values. Call it on rank 0.

        Raises:
            DataError: When one is damaged.
        """
        check_whole(path_of(self.folder, step))

    def restore_weights(self, step: int, parameters: Named) -> None:
        """Restores only the weights of a checkpoint, which was checked before.

        If they are spread over the processes, call it on each. Each reads its own part.

        Raises:
            DataError: When the checkpoint lacks one.
        """
        restore_weights(path_of(self.folder, step), parameters)

    def state_of(self, step: int) -> TrainState:
        """Returns the state of the training at a checkpoint.

        Raises:
            DataError: When its record is gone or damaged.
        """
        return read_state(path_of(self.folder, step))

    def best(self) -> tuple[int, float] | None:
        """Returns the step with the lowest score (the earliest if equal), and that score."""
        scored = [(score, step) for step, score in self.scores.items() if score is not None]
        if not scored:
            return None
        score, step = min(scored)
        return step, score

    def is_best(self, score: float | None) -> bool:
        """Returns whether a checkpoint with this score would be among the best."""
        if score is None:
            return False
        better = [s for s in self.scores.values() if s is not None and s <= score]
        return len(better) < self.keep_best


def path_of(folder: Path, step: int) -> Path:
    """Returns the folder of the checkpoint of a step."""
    return folder / f"{CHECKPOINT_PREFIX}{step:08d}"
