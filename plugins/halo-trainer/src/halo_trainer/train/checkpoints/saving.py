"""Saves a training: at a step its state is copied, and a thread writes the copy to the disk.

Only rank 0 writes. What it finds out there (too little room, a disk that fails) it tells all other
processes in `Ranks.from_main`, and always in the main thread, so that all of them stop together.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from halo_core.errors import HaloError
from halo_core.redact import one_line
from halo_core.stage import StageContext
from halo_core.workspace.disk import check_room
from halo_trainer.train.checkpoints.background_job import BackgroundJob
from halo_trainer.train.checkpoints.disk_use import checkpoint_bytes
from halo_trainer.train.checkpoints.files import contents_of
from halo_trainer.train.checkpoints.host_memory import free_memory
from halo_trainer.train.checkpoints.train_state import TrainState
from halo_trainer.train.setup import Training


@dataclass(frozen=True)
class _Written:
    step: int
    path: Path
    best: bool


class Saving:
    """Writes the checkpoints of a training, at most one at a time.

    Call its methods on each process, unless their description says otherwise.

    Args:
        training: The training.
        context: The stage's inputs and outputs.
        in_background: Whether steps continue while a checkpoint is written.
    """

    def __init__(self, training: Training, context: StageContext, *, in_background: bool) -> None:
        self._training = training
        self._context = context
        self._in_background = in_background
        self._ranks = training.objective.ranks
        self._job: BackgroundJob[_Written] = BackgroundJob()
        self._warned = False

    def save(self, state: TrainState, *, best: bool) -> None:
        """Saves the state of a step, after the checkpoint before is on the disk.

        In the background, the step is on the disk only after `finish`.

        Raises:
            DiskError: When there is no room for it, or the one before was not written. The existing
                checkpoints stay complete.
        """
        self.finish()
        copied = self._ranks.from_main(lambda: self._check_room(state.step))
        training, checkpoints = self._training, self._training.checkpoints
        no_longer_kept = checkpoints.note(state.step, state.score)
        if self._ranks.main:
            contents = contents_of(
                state, training.parameters, training.optimizer, training.refresh, copied=copied
            )

            def write() -> _Written:
                path = checkpoints.write(contents, no_longer_kept)
                return _Written(contents.record["step"], path, best)

            self._job.start(write)
        if not copied:
            self.finish()

    def _check_room(self, step: int) -> bool:
        """Compares the bytes of a checkpoint with the disk, and those of a copy with the memory.

        Returns:
            Whether to copy the state.

        Raises:
            DiskError: When there is no room on the disk.
        """
        training = self._training
        needed = checkpoint_bytes(training.parameters, training.optimizer, training.refresh)
        check_room(training.checkpoints.folder, needed, f"the checkpoint of step {step}")
        if not self._in_background:
            return False
        free = free_memory()
        # As much stays free as the copy takes, for the step and for the system.
        if 2 * needed <= free:
            return True
        if not self._warned:
            self._context.warn(
                f"there is too little host memory to write checkpoints in the background: a copy "
                f"has {needed:,} bytes, and {free:,} are free; expected twice as many as it has. "
                "The training waits for each checkpoint instead"
            )
            self._warned = True
        return False

    @property
    def failed(self) -> bool:
        """Whether a checkpoint could not be written. Only rank 0 knows before `finish`."""
        return self._job.failed

    def report(self) -> None:
        """Records the checkpoint if it is on the disk by now. It does not wait."""
        # If it was not written, `finish` raises the error on each process.
        self._record(self._job.result_if_done())

    def finish(self) -> None:
        """Waits until the checkpoint is on the disk.

        Raises:
            DiskError: When it was not written. The one before is complete.
        """
        self._ranks.from_main(lambda: self._record(self._job.result()))

    def give_up(self) -> None:
        """Waits for the checkpoint after another error. It raises nothing and warns instead.

        It does not talk to the other processes.
        """
        try:
            self._record(self._job.result())
        except HaloError as error:
            self._context.warn(str(error))
        except Exception as error:
            self._context.warn(f"the last checkpoint was not written: {one_line(error)}")

    def drop(self, step: int) -> None:
        """Removes the checkpoint of a step, if there is one, after another error."""
        self.give_up()
        self._training.checkpoints.drop(step)
        self._ranks.wait()

    def _record(self, written: _Written | None) -> None:
        if written is not None:
            self._context.events.append(
                "checkpoint",
                stage=self._context.id,
                step=written.step,
                path=str(written.path.relative_to(self._context.folder)),
                best=written.best,
            )
