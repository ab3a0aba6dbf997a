"""A suite's folder: `suite.yaml` as written, and `suite.json`, which says how far each cell is."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from halo_core.lock import held
from halo_core.store import read_json, write_json, write_text
from halo_core.suite.outcome import CellOutcome
from halo_core.suite.plan import SuitePlan
from halo_core.tracker import SuiteStatus


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
        return self.path / "suite.json"

    def read(self) -> Mapping[str, Any]:
        """Returns what `suite.json` holds."""
        record: Mapping[str, Any] = read_json(self._file) or {}
        return record

    def prepare(self) -> None:
        """Writes both files; what is known of cells from earlier calls is kept."""
        suite = self._plan.suite
        write_text(self.path / "suite.yaml", suite.path.read_text(encoding="utf-8"))
        with held(self._file):
            known = {cell["id"]: cell for cell in self.read().get("cells", ())}
            cells = [
                known.get(cell.id)
                or {
                    "id": cell.id,
                    "axes": dict(cell.axes),
                    "run": None,
                    "status": "pending",
                    "error": None,
                }
                for cell in suite.matrix.cells
            ]
            axes = {axis: list(names) for axis, names in suite.matrix.axes.items()}
            record = {"schema": 1, "name": suite.name, "axes": axes, "cells": cells}
            write_json(self._file, record)

    def begin(self, id_: str) -> None:
        """Notes that a cell is being run: it is pending and has a run."""
        self._update(id_, {"run": self._run(id_), "status": "pending", "error": None})

    def end(self, outcome: CellOutcome) -> None:
        """Notes how a cell ended."""
        self._update(
            outcome.id,
            {"run": self._run(outcome.id), "status": outcome.status, "error": outcome.error},
        )

    def _run(self, id_: str) -> str:
        return self._plan.workspace.relative(self._plan.plans[id_].run_folder)

    def _update(self, id_: str, fields: Mapping[str, Any]) -> None:
        with held(self._file):
            record = self.read()
            cells = [{**cell, **fields} if cell["id"] == id_ else cell for cell in record["cells"]]
            write_json(self._file, {**record, "cells": cells})


def recorded_status(record: Mapping[str, Any]) -> SuiteStatus:
    """Returns how far a suite is as its `suite.json` says, which knows of no stop and no process.

    >>> recorded_status({"cells": [{"status": "cached"}, {"status": "pending"}]})
    'pending'
    """
    statuses = {cell["status"] for cell in record["cells"]}
    if "failed" in statuses:
        return "failed"
    return "done" if statuses <= {"computed", "cached"} else "pending"
