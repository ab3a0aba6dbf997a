"""Finds the checkpoint that a training continues from, and those that it leaves."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

from halo_core.workspace.check_values import CHECKPOINT_PREFIX
from halo_core.workspace.records import CheckpointRecord
from halo_trainer.train.checkpoints.checkpoint import path_of
from halo_trainer.train.checkpoints.counts import steps_to_keep
from halo_trainer.train.checkpoints.files import Damage, damage_of, read_record, remove_checkpoint

DAMAGED = "damaged-"
"""Beginning of the name of a checkpoint that was set aside."""

Records = Mapping[int, CheckpointRecord]


def find_whole(
    folder: Path, warn: Callable[[str], None], *, with_reference: bool, exports_best: bool
) -> dict[int, float | None]:
    """Returns the score of each checkpoint by step; the training continues from the latest.

    The latest one is compared with its check values, and so is the best one if it may become the
    model. If one of them is damaged, it is set aside with a warning. Without the best one, the
    training goes back to a step before it, so that it finds it again. Call it where no other
    process writes there.

    Args:
        folder: The folder of the checkpoints.
        warn: Shows a warning.
        with_reference: Whether a checkpoint must hold a reference.
        exports_best: Whether the step with the lowest score becomes the model.

    Raises:
        VersionError: When a newer halo wrote a checkpoint.
    """
    _remove_remains(folder)
    read = {step: read_record(path_of(folder, step)) for step in _steps(folder)}
    records = {step: record for step, record in read.items() if not isinstance(record, Damage)}
    damaged = {step: record for step, record in read.items() if isinstance(record, Damage)}
    # The score of one without a record is not known, so it may have been the best.
    last = min(damaged) if damaged and exports_best else None
    whole = _before(last, records)
    while whole:
        best = _best(whole) if exports_best else None
        found = _first_damage(folder, whole, {max(whole), best}, with_reference=with_reference)
        if found is None:
            break
        step, damaged[step] = found
        whole = _before(step if step == best else None, whole, without=step)
    lost = sorted(set(records) - set(whole) - set(damaged), reverse=True)
    for step in lost:  # The latest first: a killed process then finds the damaged one again.
        remove_checkpoint(path_of(folder, step))
    for step, damage in sorted(damaged.items()):
        warn(_told(damage, _set_aside(path_of(folder, step)), whole, lost))
    if whole and "files" not in whole[max(whole)]:
        warn(
            f"{path_of(folder, max(whole))} was written by an older halo, without check values: "
            "only the sizes of its files were compared"
        )
    return {step: record.get("score") for step, record in whole.items()}


def leave_checkpoints(folder: Path, keep_last: int, keep_best: int) -> None:
    """Removes what a finished training does not leave: checkpoints, remains, and damaged ones.

    Args:
        folder: The folder of the checkpoints. It is removed too if nothing is left in it.
        keep_last: Number of the latest checkpoints to leave.
        keep_best: Number of those with the lowest scores to leave.
    """
    _remove_remains(folder)
    read = {step: read_record(path_of(folder, step)) for step in _steps(folder)}
    scores = {
        step: None if isinstance(record, Damage) else record.get("score")
        for step, record in read.items()
    }
    kept = steps_to_keep(scores, keep_last, keep_best)
    for step in set(scores) - kept:
        remove_checkpoint(path_of(folder, step))
    for aside in folder.glob(f"{DAMAGED}{CHECKPOINT_PREFIX}*"):
        shutil.rmtree(aside)
    if not kept and folder.exists():
        shutil.rmtree(folder)


def _remove_remains(folder: Path) -> None:
    """Removes what a killed writer left."""
    for remains in folder.glob(f".{CHECKPOINT_PREFIX}*.partial"):
        shutil.rmtree(remains, ignore_errors=True)


def _steps(folder: Path) -> list[int]:
    paths = folder.glob(f"{CHECKPOINT_PREFIX}*")
    names = (path.name.removeprefix(CHECKPOINT_PREFIX) for path in paths)
    return sorted(int(name) for name in names if name.isdecimal())


def _before(step: int | None, records: Records, without: int | None = None) -> Records:
    """Returns the records before a step (all, if it is None), without those of another step."""
    return {
        each: record
        for each, record in records.items()
        if each != without and (step is None or each < step)
    }


def _best(records: Records) -> int | None:
    scores = {step: record.get("score") for step, record in records.items()}
    scored = [(score, step) for step, score in scores.items() if score is not None]
    return min(scored)[1] if scored else None


def _first_damage(
    folder: Path, records: Records, steps: Collection[int | None], *, with_reference: bool
) -> tuple[int, Damage] | None:
    for step in sorted(step for step in steps if step is not None):
        path = path_of(folder, step)
        damage = damage_of(path, records[step], with_reference=with_reference)
        if damage is not None:
            return step, damage
    return None


def _set_aside(path: Path) -> Path:
    aside = path.with_name(DAMAGED + path.name)
    if aside.exists():
        shutil.rmtree(aside)
    return path.rename(aside)


def _told(damage: Damage, aside: Path, whole: Collection[int], lost: Collection[int]) -> str:
    if whole:
        then = f"The training continues from the checkpoint of step {max(whole)}"
    else:
        then = "There is no checkpoint to use instead, so the training starts again at step 0"
    if lost:
        then += (
            f". Steps {', '.join(map(str, sorted(lost)))} are computed again: with `export: best`, "
            "the damaged checkpoint may be the one that becomes the model"
        )
    return f"{damage}. Its checkpoint is set aside as {aside.name}. {then}"
