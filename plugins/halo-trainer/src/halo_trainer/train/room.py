"""Whether the disk has room for what a training will write."""

from __future__ import annotations

from pathlib import Path

from halo_core.workspace.disk import check_room, free_bytes, with_margin
from halo_trainer.train.checkpoints.counts import (
    most_new_bytes,
    new_checkpoints,
    still_to_come,
)
from halo_trainer.train.checkpoints.disk_use import checkpoint_bytes, model_bytes
from halo_trainer.train.checkpoints.train_state import TrainState
from halo_trainer.train.recipe import Intervals
from halo_trainer.train.setup import Training


def check_room_for_all(
    training: Training, state: TrainState, folder: Path, intervals: Intervals
) -> None:
    """Compares the bytes of the model and of all checkpoints to come with the free space.

    Args:
        training: The training.
        state: Its progress.
        folder: The stage's folder.
        intervals: The number of steps between checkpoints.

    Raises:
        DiskError: When there is too little room.
    """
    checkpoints, measured = training.checkpoints, bool(training.evaluation)
    kept = checkpoints.keep_last + (checkpoints.keep_best if measured else 0)
    there = len(checkpoints.scores)
    to_come = still_to_come(
        done=state.step,
        steps=training.steps,
        every=1 if intervals.checkpoint_minutes is not None else intervals.checkpoint,
        evaluate_every=intervals.evaluate,
        best=measured and checkpoints.keep_best > 0,
    )
    needed = most_new_bytes(
        each=checkpoint_bytes(training.parameters, training.optimizer, training.refresh),
        model=model_bytes(training.policy),
        there=there,
        to_come=to_come,
        kept=kept,
    )
    more = new_checkpoints(there=there, to_come=to_come, kept=kept)
    check_room(folder, needed, f"the model and {more} checkpoints")


def check_room_for_model(training: Training, folder: Path) -> None:
    """Compares the bytes of the model with the free space, after the last step.

    Args:
        training: The training.
        folder: The stage's folder.

    Raises:
        DiskError: When there is too little room.
    """
    latest = max(training.checkpoints.scores, default=None)
    kept = "no step is kept" if latest is None else f"step {latest} is kept"
    needed = model_bytes(training.policy)
    check_room(folder, needed, f"the model; the training is finished and {kept}")


def should_keep_last(training: Training, state: TrainState, folder: Path) -> bool:
    """Returns whether the last step should be saved before the model is written.

    It should if there is room for a checkpoint, and perhaps too little for the model.

    Args:
        training: The training.
        state: Its progress.
        folder: The stage's folder.
    """
    if state.step in training.checkpoints.scores:
        return False
    each = checkpoint_bytes(training.parameters, training.optimizer, training.refresh)
    # Twice the model, because others may also write to the disk.
    ample = with_margin(each + 2 * model_bytes(training.policy))
    return with_margin(each) <= free_bytes(folder) < ample
