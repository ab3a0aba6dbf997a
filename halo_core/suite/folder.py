"""A suite's folder: `suite.yaml` as written, and `suite.json`, which says how far each cell is."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from halo_core.lock import held
from halo_core.recorded_trackers import trackers_of
from halo_core.spec.matrix import Cell
from halo_core.suite.outcome import CellOutcome, CellStatus
from halo_core.suite.plan import SuitePlan
from halo_core.tracker import SuiteStatus
from halo_core.tracker_descriptions import Description, keep, kept
from halo_core.workspace.files import write_text
from halo_core.workspace.records import (
    SUITE,
    SUITE_SPEC,
    ErrorRecord,
    SuiteCell,
    SuiteRecord,
)


class SuiteFolder:
    """Keeps `suite.json` up to date; several processes may, each for its cells.

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
        """Returns what `suite.json` holds, which `prepare` wrote."""
        record = SUITE.read(self.path)
        assert record is not None
        return record

    def prepare(self) -> None:
        """Writes both files; what is known of cells from earlier calls is kept."""
        suite = self._plan.suite
        write_text(self.path / SUITE_SPEC, suite.path.read_text(encoding="utf-8"))
        with held(self._file):
            record = SUITE.read(self.path)
            known = {cell["id"]: cell for cell in record["cells"]} if record else {}
            cells = [known.get(cell.id) or _new(cell) for cell in suite.matrix.cells]
            axes = {axis: list(names) for axis, names in suite.matrix.axes.items()}
            told = kept(SUITE, self.path, trackers_of(suite.specs[0].tracking))
            SUITE.write(
                self.path, SuiteRecord(name=suite.name, axes=axes, trackers=told, cells=cells)
            )

    def begin(self, id_: str) -> None:
        """Notes that a cell is being run: it is pending and has a run."""
        self._update(id_, "pending", None)

    def end(self, outcome: CellOutcome) -> None:
        """Notes how a cell ended."""
        self._update(outcome.id, outcome.status, outcome.error)

    def describe(self, told: Mapping[str, Description]) -> None:
        """Keeps what trackers say of themselves."""
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
    """Returns how far a suite is as its `suite.json` says, which knows of no stop and no process.

    >>> cells = [{"status": "cached"}, {"status": "pending"}]
    >>> recorded_status({"name": "toy", "axes": {}, "cells": cells})
    'pending'
    """
    statuses = {cell["status"] for cell in record["cells"]}
    if "failed" in statuses:
        return "failed"
    return "done" if statuses <= {"computed", "cached"} else "pending"
