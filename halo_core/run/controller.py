"""The controller of a run. It runs one stage after another without torch, and records events.

It holds the run's lock, writes the rows that stages need, and lets each stage that is not in the
store be computed. Trackers and reports read the events.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import cast

from halo_core.display.board import Board
from halo_core.display.texts import time_text
from halo_core.errors import (
    DataError,
    DiskError,
    HaloError,
    Interrupted,
    PathError,
    VersionError,
    error_text,
)
from halo_core.events import EventLog
from halo_core.guarded.report_calls import written_by
from halo_core.run.data_checks import check_data
from halo_core.run.live_reports import LiveReports
from halo_core.run.look_ahead import LookAhead, check_rows
from halo_core.run.machines.meeting import Meeting
from halo_core.run.plan import Plan, PlannedStage, forget
from halo_core.run.read_rows import RowsOfStages, RunRows
from halo_core.run.run_files import write_run
from halo_core.run.silent_end import silent_end_of_run
from halo_core.run.stage_runner import StageRunner
from halo_core.run.status import RunStatus, StageStatus
from halo_core.run.time_left import TimeLeft
from halo_core.run.waiting import NOTHING_LOST, Waiting
from halo_core.spec.mistakes import Mistakes
from halo_core.stage import StopFlag
from halo_core.tracker import Report
from halo_core.tracking.descriptions import Description, keep
from halo_core.tracking.processes import TrackerProcesses
from halo_core.workspace.check_values import damages
from halo_core.workspace.disk import told_of_paths
from halo_core.workspace.files import mend_last_line
from halo_core.workspace.lock import recorded_needs
from halo_core.workspace.no_links import check_links_within, check_no_links
from halo_core.workspace.old_credentials import clean_old_records
from halo_core.workspace.records import (
    DONE,
    EVENTS,
    RESOLVED_SPEC,
    RUN,
    SPEC,
    stage_done,
)

CLOSE_DEADLINE_S = 30.0


class Runner:
    """Runs a plan.

    Args:
        plan: The plan to run.
        status: A status from `new_status`, filled while running.
        board: Shows what the run is doing.
        stop: The flag that a signal handler sets.
        command: The command line, for the record.
        told_rows: Rows whose drops an earlier run of the same suite has already reported.
    """

    def __init__(
        self,
        plan: Plan,
        status: RunStatus,
        *,
        board: Board,
        stop: StopFlag,
        command: Sequence[str],
        told_rows: set[tuple[str, Path]] | None = None,
    ) -> None:
        self.plan = plan
        self.status = status
        self.board = board
        self.stop = stop
        self.command = list(command)
        self.say = board.say
        self._time = TimeLeft(plan)
        told: set[tuple[str, Path]] = set() if told_rows is None else told_rows
        self._rows = RunRows(plan, board, warn=self.warn, told=told)
        self.log = EventLog(plan.run_folder / EVENTS.name)
        self._waiting = Waiting(board, stop)
        self._meeting = Meeting(
            plan.run_folder, say=board.say, waiting=board.phase, check=self._waiting.check
        )
        self._stage_runner = StageRunner(
            plan,
            self.log,
            board=board,
            stop=stop,
            waiting=self._waiting,
            meeting=self._meeting,
            warn=self.warn,
        )

    def run(self, again: Sequence[str] = ()) -> None:
        """Runs every stage that is not in the store, then the reports.

        Args:
            again: Ids of stages to compute again, with all that depends on them.

        Raises:
            UserError: When `again` names no stage, another process runs this run, or rows are
                invalid.
            Interrupted: When asked to stop. The state is kept.
            HaloError: Any error of a stage.
        """
        with self._mistake_before_a_stage():
            self._check_no_links()
            self.plan.run_folder.mkdir(parents=True, exist_ok=True)
        silent = silent_end_of_run(self.plan)
        waits = f"{self.plan.run_name}: another process is working on this run; waiting"
        with self._mistake_before_a_stage(), self._waiting.owned(self.plan.run_folder, waits):
            # Only with the lock: a run that is refused must not delete the results it wants to
            # compute again.
            forget(self.plan, again)
            mend_last_line(self.plan.run_folder / EVENTS.name)
            self._clean_old_records()
            with recorded_needs(self.plan.workspace.root):
                write_run(self.plan, self.command)
            if silent is not None:
                self.warn(f"the last time, {silent}. Nothing that was saved is lost")
            live = LiveReports(self.plan.spec.reports, self.plan.run_folder)
            self.board.later = self._time.later
            with self._tracking() as tracking, live, self._meeting:
                try:
                    self._started()
                    with self.board.phase("checking the files of finished stages"):
                        self._compute_damaged_again()
                    self._stages()
                    live.end()
                    self._reports()
                except BaseException as error:
                    self._ended(error)
                    live.write_last()
                    raise
                else:
                    self._ended(None)
                finally:
                    # After `run-ended`, so that the trackers get that event too.
                    self.status.trackers = self._close(tracking)

    def _check_no_links(self) -> None:
        """Refuses links through which this run would write out of the workspace."""
        root = self.plan.workspace.root
        check_links_within(root, root, deep=False)
        check_no_links(root, self.plan.run_folder)
        check_links_within(root, self.plan.workspace.cache)
        for stage in self.plan.stages:
            if stage.state != "done":
                check_no_links(root, stage.folder)

    def _clean_old_records(self) -> None:
        cleaned = clean_old_records(self.plan.workspace.root, self.plan.run_folder)
        if cleaned:
            self.warn(
                f"took passwords or tokens out of the records of {len(cleaned)} earlier runs and "
                f"suites ({', '.join(folder.name for folder in cleaned[:3])}"
                f"{', ...' if len(cleaned) > 3 else ''}). Change these passwords, because trackers "
                "and copies of the records may still hold them"
            )

    @contextmanager
    def _mistake_before_a_stage(self) -> Iterator[None]:
        """Turns an error about a path into a mistake of the user if no stage has begun."""
        try:
            with told_of_paths():
                yield
        except DiskError as error:
            begun = any(stage.status in ("computed", "failed") for stage in self.status.stages)
            if begun:
                raise
            raise PathError(error.message, location=error.location) from error

    def warn(self, message: str) -> None:
        """Records and shows a warning."""
        self.log.append("warning", stage=None, message=message)
        self.board.warn(message)

    def _tracking(self) -> TrackerProcesses:
        return TrackerProcesses(
            self.plan.spec.tracking,
            self.plan.run_folder,
            self.plan.workspace.root,
            self.board.warn,
            self.board.say,
        )

    def _close(self, tracking: TrackerProcesses) -> Mapping[str, Description]:
        with self.board.phase("sending what is left to the trackers"):
            tracking.close(deadline_s=CLOSE_DEADLINE_S)
        descriptions = tracking.describe()
        try:
            keep(RUN, self.plan.run_folder, descriptions)
        except HaloError as error:
            self.board.warn(str(error))
        return descriptions

    def _started(self) -> None:
        self.log.append(
            "run-started",
            name=self.plan.spec.name,
            run=self.plan.run_name,
            spec=SPEC,
            resolved=RESOLVED_SPEC,
            command=self.command,
            stages=[stage.id for stage in self.plan.stages],
        )

    def _ended(self, error: BaseException | None) -> None:
        if error is None:
            status = "done"
        elif isinstance(error, Interrupted | KeyboardInterrupt):
            status = "interrupted"
        else:
            status = "failed"
        message = None if error is None else error_text(error)
        self.log.append("run-ended", status=status, headline=self.status.headline, error=message)

    def _compute_damaged_again(self) -> None:
        """Lets the stages in the store be computed again of which a file is damaged."""
        unchecked = 0
        for stage in self.plan.stages:
            try:
                done = stage_done(stage.folder)
            except VersionError:
                raise
            except DataError as error:
                what = error.message.partition(";")[0]
                self.warn(f"{stage.id}: {error.location}: {what}; the stage is computed again")
                (stage.folder / DONE.name).unlink()
                continue
            if done is None:
                continue
            checks = done.get("files", {})
            unchecked += not checks
            if not (found := damages(stage.folder, checks)):
                continue
            check_no_links(self.plan.workspace.root, stage.folder)
            for name, what in found.items():
                self.warn(f"{stage.id}: {stage.folder / name} {what}; the stage is computed again")
                (stage.folder / name).unlink(missing_ok=True)
            (stage.folder / DONE.name).unlink()
        if unchecked:
            self.say(
                f"{unchecked} stages in the store were written by an older halo, without check "
                "values: whether their files are as they were written is not known"
            )

    def _stages(self) -> None:
        todo = [stage for stage in self.plan.stages if stage_done(stage.folder) is None]
        with self.stop.at_once(NOTHING_LOST):
            rows, known, ahead = self._look_ahead(todo)
        for stage, status in zip(self.plan.stages, self.status.stages, strict=True):
            if stage_done(stage.folder) is not None:
                self._stage_runner.take_from_store(stage, status)
                continue
            with self._shown(stage):
                self._run_stage(stage, status, rows, known)
            with (
                self.stop.at_once(NOTHING_LOST),
                TemporaryDirectory() as folder,
                self.board.phase("checking the stages that can be checked now"),
            ):
                ahead.check(rows, Path(folder))

    @contextmanager
    def _shown(self, stage: PlannedStage) -> Iterator[None]:
        place = self.plan.stages.index(stage) + 1
        resumed = stage.folder.is_dir()
        use = f"{stage.spec.resolved.short_name}{', continuing' if resumed else ''}"
        self._time.begin(stage)
        with self.board.stage(place, len(self.plan.stages), stage.id, use):
            yield

    def _run_stage(
        self, stage: PlannedStage, status: StageStatus, rows: RowsOfStages, known: RowsOfStages
    ) -> None:
        started = time.monotonic()
        try:
            # Its data contain feedback of a stage that ran after the other rows were read.
            if stage.id not in rows:
                with self.stop.at_once(NOTHING_LOST):
                    known[stage.id] = rows[stage.id] = self._rows.of(stage)
                    only = {stage.id}
                    check_data(self.plan, known, new=only, fresh=only, warn=self.warn)
            self._stage_runner.compute(stage, rows[stage.id], status)
        except (Interrupted, KeyboardInterrupt):
            status.status = "interrupted"
            raise
        except BaseException:
            status.status = "failed"
            raise
        finally:
            status.seconds = time.monotonic() - started
        if status.status == "computed":
            self._time.end(status.seconds)
            result = f": {status.headline}" if status.headline else ""
            self._stage_runner.tell(stage, f"done in {time_text(status.seconds)}{result}")

    def _look_ahead(
        self, todo: Sequence[PlannedStage]
    ) -> tuple[RowsOfStages, RowsOfStages, LookAhead]:
        """Returns the new stages' rows, all rows including existing models', and the look-ahead.

        Raises:
            SpecErrors: All mistakes that are found before anything is computed.
        """
        rows = {stage.id: self._rows.of(stage) for stage in todo if self._rows.are_there(stage)}
        # Models in the store count too: they may have learned from rows that are only now test
        # data. A run with nothing to do reads no rows at all.
        known = rows | (self._rows.learned() if todo else {})
        mistakes = Mistakes(self.plan.spec.document)
        ids = {stage.id for stage in todo}
        check_rows(self.plan, known, new=ids, mistakes=mistakes, warn=self.warn)
        ahead = LookAhead(self.plan, todo, begins=True)
        with (
            TemporaryDirectory() as folder,
            self.board.phase("checking options and models", len(todo), unit="stage") as bar,
        ):
            ahead.check(rows, Path(folder), mistakes, bar.advance)
        return rows, known, ahead

    def _reports(self) -> None:
        for resolved in self.plan.spec.reports:
            report = cast(Report, resolved.component)
            try:
                with self.board.phase(f"writing the report {resolved.name}"):
                    path = written_by(report, self.plan.run_folder)
            except HaloError as error:  # All is computed; a missing page must not fail the run.
                self.warn(f"the report {resolved.name} failed: {error}")
                continue
            self.status.reports.append(path)
            self.log.append("report", path=str(path.relative_to(self.plan.run_folder)))


__all__ = ["Runner"]
