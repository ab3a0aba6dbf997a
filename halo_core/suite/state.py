"""The state of a suite: its folder with `suite.json`, and the outcome of each cell."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from halo_core.errors import (
    BusyError,
    DataError,
    HaloError,
    Interrupted,
    PathError,
    VersionError,
    exit_code_of,
)
from halo_core.run.error_record import error_of, error_record
from halo_core.run.status import RunStatus
from halo_core.spec.matrix import Cell
from halo_core.suite.plan import SuitePlan
from halo_core.tracker import SuiteStatus
from halo_core.tracking.descriptions import Description, keep, kept
from halo_core.tracking.send import trackers_of
from halo_core.workspace.files import write_text
from halo_core.workspace.lock import held
from halo_core.workspace.no_links import check_no_links
from halo_core.workspace.records import (
    SUITE,
    SUITE_SPEC,
    ErrorRecord,
    SuiteCell,
    SuiteRecord,
)


class SuiteFolder:
    """Keeps `suite.json` up to date. Several processes may do so, each for its own cells.

    Args:
        plan: The suite's plan.
    """

    def __init__(self, plan: SuitePlan) -> None:
        self.path = plan.folder
        self._plan = plan

    @property
    def _file(self) -> Path:
        return self.path / SUITE.name

    def read(self) -> SuiteRecord:
        """Returns the content of `suite.json`, which `prepare` wrote.

        Raises:
            PathError: When the suite was removed since then.
        """
        record = SUITE.read(self.path)
        if record is None:
            raise PathError(
                "the suite was removed while it was running. Run the same command again to start",
                location=str(self.path),
            )
        return record

    def prepare(self, warn: Callable[[str], None]) -> None:
        """Writes both files, and keeps the state of cells from earlier calls.

        Args:
            warn: Shows a warning if the earlier state is damaged.
        """
        suite = self._plan.suite
        check_no_links(self._plan.workspace.root, self.path)
        write_text(self.path / SUITE_SPEC, suite.path.read_text(encoding="utf-8"))
        with held(self._file):
            record = self._earlier(warn)
            known = {cell["id"]: cell for cell in record["cells"]} if record else {}
            cells = [known.get(cell.id) or _new(cell) for cell in suite.matrix.cells]
            axes = {axis: list(names) for axis, names in suite.matrix.axes.items()}
            descriptions = kept(SUITE, self.path, trackers_of(suite.specs[0].tracking))
            SUITE.write(
                self.path,
                SuiteRecord(name=suite.name, axes=axes, trackers=descriptions, cells=cells),
            )

    def _earlier(self, warn: Callable[[str], None]) -> SuiteRecord | None:
        try:
            return SUITE.read(self.path)
        except VersionError:
            raise
        except DataError as error:
            what = error.message.partition(";")[0]
            warn(f"{error.location}: {what}; the state of all cells is written again")
            return None

    def begin(self, id_: str) -> None:
        """Records that a cell has started: it is pending and has a run."""
        self._update(id_, "pending", None)

    def end(self, outcome: CellOutcome) -> None:
        """Records the outcome of a cell."""
        self._update(outcome.id, outcome.status, outcome.error)

    def describe(self, told: Mapping[str, Description]) -> None:
        """Records the descriptions of trackers."""
        with held(self._file):
            keep(SUITE, self.path, told)

    def _update(self, id_: str, status: CellStatus, error: ErrorRecord | None) -> None:
        run = self._plan.workspace.relative(self._plan.plans[id_].run_folder)
        with held(self._file):
            record = self.read()
            for cell in record["cells"]:
                if cell["id"] == id_:
                    cell["run"], cell["status"], cell["error"] = run, status, error
            SUITE.write(self.path, record)


def _new(cell: Cell) -> SuiteCell:
    return SuiteCell(id=cell.id, axes=dict(cell.axes), run=None, status="pending", error=None)


def recorded_status(record: SuiteRecord) -> SuiteStatus:
    """Returns a suite's status from `suite.json`, which does not record stops or processes.

    >>> cells = [{"status": "cached"}, {"status": "pending"}]
    >>> recorded_status({"name": "toy", "axes": {}, "cells": cells})
    'pending'
    """
    statuses = {cell["status"] for cell in record["cells"]}
    if "failed" in statuses:
        return "failed"
    return "done" if statuses <= {"computed", "cached"} else "pending"


CellStatus = Literal["pending", "computed", "cached", "failed", "interrupted"]


@dataclass(frozen=True)
class CellOutcome:
    """The outcome of a cell.

    Attributes:
        id: Id of the cell.
        run: The run's name; None for a cell that was not started.
        status: The cell's status. It is ``cached`` if nothing had to be computed.
        stages: The status of each stage, as `halo run --json` prints it.
        error: Type, message and location of the error.
        exit_code: The exit code of a run with this outcome.
    """

    id: str
    run: str | None = None
    status: CellStatus = "pending"
    stages: Sequence[Mapping[str, Any]] = field(default=())
    error: ErrorRecord | None = None
    exit_code: int = 0

    @property
    def headline(self) -> str:
        """The last stage's sentence."""
        headlines = [str(stage["headline"]) for stage in self.stages if stage["headline"]]
        return headlines[-1] if headlines else ""

    @property
    def is_elsewhere(self) -> bool:
        """Whether another process is running the cell and will record its outcome."""
        return self.error is not None and self.error["type"] == BusyError.__name__

    @property
    def failed_stages(self) -> list[Path]:
        """Folders of the stages that failed."""
        return [Path(stage["folder"]) for stage in self.stages if stage["status"] == "failed"]

    def exception(self) -> HaloError:
        """Returns the cell's error as an exception."""
        assert self.error is not None
        return error_of(self.error, self.exit_code)

    def as_json(self) -> dict[str, Any]:
        """Returns what `halo run --json` prints of a cell."""
        return {
            "id": self.id,
            "run": self.run,
            "status": self.status,
            "stages": list(self.stages),
            "error": self.error,
        }


def ended(id_: str, status: RunStatus, error: BaseException | None) -> CellOutcome:
    """Returns the outcome of a cell whose run ended.

    Args:
        id_: Id of the cell.
        status: The status of its run.
        error: The error that ended it; None if it is done.
    """
    stages = status.as_json()["stages"]
    if error is None:
        all_cached = all(stage["status"] == "cached" for stage in stages)
        return CellOutcome(id_, status.name, "cached" if all_cached else "computed", stages)
    interrupted = isinstance(error, Interrupted | KeyboardInterrupt)
    return CellOutcome(
        id_,
        status.name,
        "interrupted" if interrupted else "failed",
        stages,
        error_record(error),
        exit_code_of(error),
    )
