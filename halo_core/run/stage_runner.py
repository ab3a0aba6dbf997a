"""Brings a stage of a run to its end: takes it from the store, or computes it.

A stage is computed in this process, or with the command that the stage gives. Its events are
recorded in its own folder and in that of the run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial

from halo_core.display.board import Board
from halo_core.errors import HaloError
from halo_core.events import EventLog, read_events, stages_ended
from halo_core.guarded.stage_calls import command_of, machines_of
from halo_core.run.execute import execute, write_stage
from halo_core.run.leftovers import free_leftovers
from halo_core.run.machines.meeting import Meeting
from halo_core.run.materialise import Rows
from halo_core.run.plan import Plan, PlannedStage
from halo_core.run.rank_warnings import forget_warnings, warnings_left
from halo_core.run.silent_end import silent_end
from halo_core.run.status import StageStatus, Status
from halo_core.run.waiting import GO_ON, Waiting
from halo_core.run.workers import run_in_workers
from halo_core.stage import StopFlag
from halo_core.workspace.files import mend_last_line
from halo_core.workspace.records import EVENTS, DoneRecord, stage_done


class StageRunner:
    """Takes stages of a run from the store, or computes them.

    Args:
        plan: The plan of the run.
        log: The events of the run.
        board: Shows what the run is doing.
        stop: The flag that a signal handler sets.
        waiting: Waits for other processes.
        meeting: The machines of the run.
        warn: Shows and records a warning about the run.
    """

    def __init__(
        self,
        plan: Plan,
        log: EventLog,
        *,
        board: Board,
        stop: StopFlag,
        waiting: Waiting,
        meeting: Meeting,
        warn: Callable[[str], None],
    ) -> None:
        self._plan = plan
        self._log = log
        self._board = board
        self._stop = stop
        self._waiting = waiting
        self._meeting = meeting
        self._warn = warn

    def tell(self, stage: PlannedStage, what: str) -> None:
        """Shows a line about a stage, with its place among all stages."""
        place = f"stage {self._plan.stages.index(stage) + 1} of {len(self._plan.stages)}"
        self._board.say(f"{place}, {stage.id}: {what}")

    def take_from_store(self, stage: PlannedStage, status: StageStatus) -> None:
        """Takes over the result of a stage that is done, and its events if they are new here."""
        done = stage_done(stage.folder)
        assert done is not None
        status.status = "cached"
        status.metrics, status.headline = done["metrics"], done["headline"]
        if not self._told(stage):
            self._replay(stage)
            self._end_stage(self._log, stage, done, "cached")
        self.tell(stage, "in the store")

    def _told(self, stage: PlannedStage) -> bool:
        """Returns whether the run's events already contain this stage's end."""
        return stage.id in stages_ended(self._plan.run_folder / EVENTS.name)

    def _replay(self, stage: PlannedStage) -> None:
        """Copies a stage's events from an earlier run into this run's events, with their times."""
        # `_end_stage` writes the end, and writes it last, to mark the replay as complete.
        events = (event for event, _ in read_events(stage.folder / EVENTS.name))
        others = (event for event in events if event["type"] != "stage-ended")
        self._log.repeat(others, stage.id)

    def _end_stage(
        self, log: EventLog, stage: PlannedStage, done: DoneRecord, status: Status
    ) -> None:
        log.append(
            "stage-ended",
            stage=stage.id,
            use=stage.spec.resolved.name,
            folder=self._plan.workspace.relative(stage.folder),
            product=stage.spec.component.produces,
            status=status,
            metrics=done["metrics"],
            headline=done["headline"],
        )

    def compute(
        self, stage: PlannedStage, rows: Mapping[str, list[Rows]], status: StageStatus
    ) -> None:
        """Computes a stage, unless another process does so while this one waits for its turn.

        Args:
            stage: The stage.
            rows: The rows that it needs, by option.
            status: The status of the stage, filled with its result.

        Raises:
            Interrupted: When asked to stop. The state is kept.
            HaloError: Any error of the stage.
        """
        self._waiting.check()
        waits = f"{stage.id}: another process is computing it; waiting"
        with self._waiting.turn(stage.folder, waits):
            # A rank of a killed run may still write there.
            waits = f"{stage.id}: a process of an earlier run is still working there; waiting"
            self._waiting.until_unowned(stage.folder, waits)
            # Checked again, because the previous holder of the lock may just have computed it.
            if stage_done(stage.folder) is not None:
                self.take_from_store(stage, status)
                return
            done = self._compute_here(stage, rows)
        status.status = "computed"
        status.metrics, status.headline = done["metrics"], done["headline"]

    def _compute_here(self, stage: PlannedStage, rows: Mapping[str, list[Rows]]) -> DoneRecord:
        """Computes a stage whose turn this process has, and records its events."""
        resumed = stage.folder.is_dir()
        if resumed and (silent := silent_end(stage.folder)) is not None:
            self._warn(f"{stage.id}: {silent}. The stage continues from what was saved")
        stage.folder.mkdir(parents=True, exist_ok=True)
        mend_last_line(stage.folder / EVENTS.name)
        use = stage.spec.resolved.name
        write_stage(self._plan, stage, rows)
        # Written to both: trackers read the run's file, and later runs replay the stage's.
        log = EventLog(stage.folder / EVENTS.name, self._plan.run_folder / EVENTS.name)
        folder = self._plan.workspace.relative(stage.folder)
        log.append("stage-started", stage=stage.id, use=use, folder=folder, resumed=resumed)
        done = self._call(stage)
        self._end_stage(log, stage, done, "computed")
        return done

    def _call(self, stage: PlannedStage) -> DoneRecord:
        command = command_of(stage.spec.component, stage.folder)
        if command is None:
            free_leftovers()
            return execute(stage.folder, stop=self._stop, progress=self._board)
        machines = machines_of(stage.spec.component)
        forget_warnings(stage.folder)
        try:
            with self._meeting.share(stage.folder, machines) as share:
                done = run_in_workers(
                    stage,
                    command,
                    stop=self._stop,
                    board=self._board,
                    warn=partial(self._warn_of, stage),
                    go_on=GO_ON,
                    share=share,
                )
        except BaseException:
            with suppress(HaloError):  # The error of the stage matters more than a full disk here.
                self._tell_warnings(stage)
            raise
        self._tell_warnings(stage)
        return done

    def _warn_of(self, stage: PlannedStage, message: str) -> None:
        """Shows and records a warning about the processes of a stage, while they run.

        The run alone records it: it is about this machine and not about the result of the stage.
        """
        self._board.warn(f"{stage.id}: {message}")
        with suppress(HaloError, OSError):  # A full disk must not end the stage.
            self._log.append("warning", stage=stage.id, message=message)

    def _tell_warnings(self, stage: PlannedStage) -> None:
        """Shows and records the warnings that the processes of a stage left."""
        messages = warnings_left(stage.folder)
        for message in messages:
            self._board.warn(message)
        for message in messages:
            self._log.append("warning", stage=stage.id, message=message)


__all__ = ["StageRunner"]
