"""Saves a training: at a step its state is copied, and a thread writes the copy to the disk.

Only rank 0 writes, unless the tensors are spread over the processes: then each process writes its
part, and rank 0 waits for the parts of all. A process that finds out something there (too little
room, a disk that fails) tells all others, and always in the main thread, so that all of them stop
together.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from halo_core.errors import HaloError
from halo_core.redact import one_line
from halo_core.stage import StageContext
from halo_core.workspace.disk import check_room
from halo_trainer.train.checkpoints.background_job import BackgroundJob
from halo_trainer.train.checkpoints.disk_use import checkpoint_bytes, copied_bytes
from halo_trainer.train.checkpoints.errors_of_ranks import joined
from halo_trainer.train.checkpoints.files import contents_of, is_spread_out
from halo_trainer.train.checkpoints.host_memory import free_memory, processes_here
from halo_trainer.train.checkpoints.shard_files import MissingPart, Others
from halo_trainer.train.checkpoints.train_state import TrainState
from halo_trainer.train.setup import Training

OTHERS_S = 20
"""Seconds to wait, after an error, for the parts of other processes, which may be gone."""


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
        self._spread = False
        self._others = Others()

    def save(self, state: TrainState, *, best: bool) -> None:
        """Saves the state of a step, after the checkpoint before is on the disk.

        In the background, the step is on the disk only after `finish`.

        Raises:
            DiskError: When there is no room for it, or the one before was not written. The existing
                checkpoints stay complete.
        """
        self.finish()
        training, checkpoints = self._training, self._training.checkpoints
        state.processes = self._ranks.world
        self._spread = is_spread_out(training.parameters)
        begin = self._begin if self._spread else self._check_room
        meeting = self._ranks.from_main(lambda: begin(state.step))
        copied = self._copies()
        no_longer_kept = checkpoints.note(state.step, state.score)
        if self._ranks.main or self._spread:
            contents = contents_of(
                *(state, training.parameters, training.optimizer, training.refresh),
                copied=copied,
                rank=self._ranks.rank,
            )
            self._others = Others()
            others = self._others

            def write() -> _Written:
                if meeting is None:
                    path = checkpoints.write(contents, no_longer_kept)
                else:
                    path = checkpoints.write_part(meeting, contents, no_longer_kept, others)
                return _Written(contents.record["step"], path, best)

            self._job.start(write)
        if not copied:
            self.finish()

    def _check_room(self, step: int) -> None:
        """Compares the bytes of a checkpoint with the free space of the disk.

        Raises:
            DiskError: When there is no room.
        """
        training = self._training
        needed = checkpoint_bytes(training.parameters, training.optimizer, training.refresh)
        check_room(training.checkpoints.folder, needed, f"the checkpoint of step {step}")

    def _begin(self, step: int) -> Path:
        self._check_room(step)
        return self._training.checkpoints.begin(step)

    def _copies(self) -> bool:
        """Returns whether to copy the state, because there is memory for the copies of all."""
        if not self._in_background:
            return False
        if self._spread:
            # Machines have memories of their own. Everybody copies, or nobody does.
            return all(self._ranks.gather(self._fits_memory(copies=processes_here())))
        return self._ranks.from_main(lambda: self._fits_memory(copies=1))

    def _fits_memory(self, *, copies: int) -> bool:
        training = self._training
        needed = copies * copied_bytes(training.parameters, training.optimizer, training.refresh)
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
        """Whether this process could not write. The others do not know before `finish`."""
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
        if self._spread:
            self._hear_of_others()
        self._ranks.from_main(lambda: self._record(self._job.result()))

    def _hear_of_others(self) -> None:
        """Waits for the parts of the other processes, and tells all if one was not written.

        Raises:
            DiskError: With the different errors of all processes; see `joined`.
        """
        errors = self._ranks.gather(None if self._ranks.main else self._error_of_job())
        if any(error is not None for error in errors):
            self._others.failed.set()  # Rank 0 no longer waits for the part, and removes the rest.
            own = self._error_of_job() if self._ranks.main else None
            # That a part is missing is known by now. Any other error is rank 0's own.
            of_main = None if isinstance(own, MissingPart) else own
            raise joined([self._ranks.gather(of_main)[0], *errors[1:]])

    def _error_of_job(self) -> HaloError | None:
        """Waits for this process's part, and returns why it was not written."""
        try:
            self._job.result()
        except HaloError as error:
            return error
        return None

    def give_up(self) -> None:
        """Waits for the checkpoint after another error. It raises nothing and warns instead.

        It does not talk to the other processes, of which one may be gone.
        """
        self._others.until = time.monotonic() + OTHERS_S
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
        if written is not None and self._ranks.main:
            self._context.events.append(
                "checkpoint",
                stage=self._context.id,
                step=written.step,
                path=str(written.path.relative_to(self._context.folder)),
                best=written.best,
            )
