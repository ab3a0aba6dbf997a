"""Runs the cells of a suite, one after another or in parallel. Each cell is an ordinary run.

A failed cell does not stop the others. A stage that failed in one cell is not tried again for the
cells that share it. Finished stages are taken from the store, so a repeated call continues where an
earlier one was stopped or killed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

from halo_core.errors import HaloError, Interrupted, SuiteErrors, exit_code_of
from halo_core.run.plan import Plan, forget_all
from halo_core.stage import StopFlag
from halo_core.suite.finished import finished
from halo_core.suite.plan import SuitePlan
from halo_core.suite.state import CellOutcome, SuiteFolder, recorded_status
from halo_core.tracker import SuiteStatus
from halo_core.tracking.suite_tracking import SuiteTracking
from halo_core.workspace.records import ErrorRecord, stage_done


class RunCell(Protocol):
    """A way to run one cell."""

    def __call__(self, plan: Plan) -> CellOutcome:
        """Runs a cell and returns its outcome. Raises no error."""
        ...

    def hurry(self) -> None:
        """Stops other processes at once. It is called after a second Ctrl-C."""
        ...


class SuiteRunner:
    """Runs a suite's plan.

    Args:
        plan: The plan to run.
        run_cell: Runs one cell.
        tracking: Reports the suite as a whole to trackers.
        stop: The flag that a signal handler sets.
        say: Prints a line for people.

    Attributes:
        outcomes: The outcome of each cell, in order; filled while running.
    """

    def __init__(
        self,
        plan: SuitePlan,
        run_cell: RunCell,
        *,
        tracking: SuiteTracking,
        stop: StopFlag,
        say: Callable[[str], None],
    ) -> None:
        self.plan = plan
        self.folder = SuiteFolder(plan)
        self.outcomes = {id_: CellOutcome(id_) for id_ in plan.plans}
        self._run_cell = run_cell
        self._tracking = tracking
        self._stop = stop
        self._say = say
        self._failed: dict[Path, tuple[str, HaloError]] = {}

    def run(self, *, again: Sequence[str] = (), jobs: int = 1) -> None:
        """Runs every cell.

        Args:
            again: Ids of stages to compute again, with all that depends on them.
            jobs: Number of cells that run in parallel.

        Raises:
            UserError: When `again` names no stage of any cell.
            SuiteErrors: When cells failed. The other cells were run.
            Interrupted: When asked to stop. The state is kept.
        """
        forget_all(self.plan.plans.values(), again)
        self.folder.prepare(lambda message: self._say(f"warning: {message}"))
        self._tracking.tell()
        try:
            if jobs == 1:
                for id_ in self.plan.plans:
                    self._cell(id_)
            else:
                self._cells(jobs)
        finally:
            self._tracking.close(self._status())
            self.folder.describe(self._tracking.told)
        self._raise()

    def _cells(self, jobs: int) -> None:
        with ThreadPoolExecutor(jobs) as pool:
            try:
                # A list, because an error in a thread is raised only when its result is read.
                list(pool.map(self._cell, self.plan.plans))
            except KeyboardInterrupt:
                self._run_cell.hurry()
                raise

    def _cell(self, id_: str) -> None:
        if self._stop.is_set():
            return
        plan = self.plan.plans[id_]
        number = list(self.plan.plans).index(id_) + 1
        self._say(f"[{number}/{len(self.plan.plans)}] {id_}: run {plan.run_name}")
        self.folder.begin(id_)
        outcome = self._without(plan, id_) or self._finished(plan) or self._run_cell(plan)
        self.outcomes[id_] = outcome
        for folder in outcome.failed_stages:
            self._failed.setdefault(folder, (id_, outcome.exception()))
        # The process that runs the cell records its outcome, which must not be overwritten here.
        if not outcome.is_elsewhere:
            self.folder.end(outcome)
        self._tracking.tell()
        if outcome.status == "failed":
            self._say(f"{id_}: failed: {outcome.exception()}")

    def _finished(self, plan: Plan) -> CellOutcome | None:
        outcome = finished(plan)
        if outcome is not None:
            self._say("everything is in the store, and reported")
        return outcome

    def _without(self, plan: Plan, id_: str) -> CellOutcome | None:
        """Returns the outcome of a cell that is not tried because one of its stages failed."""
        for stage in plan.stages:
            if stage.folder in self._failed and stage_done(stage.folder) is None:
                cell, error = self._failed[stage.folder]
                message = f"the stage {stage.id!r} failed in the cell {cell}: {error.message}"
                record = ErrorRecord(
                    type=type(error).__name__, message=message, location=error.location
                )
                return CellOutcome(id_, plan.run_name, "failed", (), record, exit_code_of(error))
        return None

    def _status(self) -> SuiteStatus:
        """Returns the status of the suite after all calls so far, also by other processes."""
        if self._stop.is_set():
            return "interrupted"
        return recorded_status(self.folder.read())

    def _raise(self) -> None:
        outcomes = self.outcomes.values()
        if self._stop.is_set():
            done = sum(outcome.status in ("computed", "cached") for outcome in outcomes)
            raise Interrupted(
                f"stopped; {done} of {len(outcomes)} cells are done, and started cells are kept. "
                "Run the same command again to continue",
                signal_number=self._stop.signal_number,
            )
        failed = {o.id: o.exception() for o in outcomes if o.status == "failed"}
        if failed:
            raise SuiteErrors(failed, len(outcomes))
