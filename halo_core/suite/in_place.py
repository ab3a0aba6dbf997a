"""Runs cells of a suite in this process."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from halo_core.plan import Plan
from halo_core.progress import Progress
from halo_core.run_status import new_status
from halo_core.runner import Runner
from halo_core.stage import StopFlag
from halo_core.suite.outcome import CellOutcome, ended


class InPlace:
    """Runs one cell after the other in this process, where libraries stay loaded.

    Args:
        progress: Where bars are shown.
        stop: Set from a signal handler.
        command: From an id to the command line that runs the cell, for the record.
        say: Prints a line for people.
    """

    def __init__(
        self,
        *,
        progress: Progress,
        stop: StopFlag,
        command: Callable[[str], Sequence[str]],
        say: Callable[[str], None],
    ) -> None:
        self._progress = progress
        self._stop = stop
        self._command = command
        self._say = say
        self._told_rows: set[tuple[str, Path]] = set()

    def __call__(self, plan: Plan) -> CellOutcome:
        """Runs a cell and returns how it ended."""
        assert plan.spec.cell is not None
        status = new_status(plan)
        runner = Runner(
            plan,
            status,
            progress=self._progress,
            stop=self._stop,
            command=self._command(plan.spec.cell.id),
            say=self._say,
            told_rows=self._told_rows,
        )
        try:
            runner.run()
        except KeyboardInterrupt as error:
            self._stop.set(self._stop.signal_number)
            return ended(plan.spec.cell.id, status, error)
        except Exception as error:  # A cell's failure is no other cell's.
            return ended(plan.spec.cell.id, status, error)
        return ended(plan.spec.cell.id, status, None)

    def hurry(self) -> None:
        """Does nothing: there are no other processes."""
