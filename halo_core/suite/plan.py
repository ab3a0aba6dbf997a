"""The joint plan of all cells of a suite: shared stages, finished stages, stages to do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from halo_core.devices import EXAMPLE_DEVICES, Devices
from halo_core.garbage import few_collections
from halo_core.run.forecast import disk_needed, forecasts
from halo_core.run.plan import Plan, PlannedStage, make_plan
from halo_core.spec.suite import Suite
from halo_core.stage import Forecast
from halo_core.workspace.layout import Workspace


@dataclass(frozen=True)
class SharedStage:
    """A stage and the cells that share it.

    Attributes:
        stage: The stage in the first of the cells.
        cells: Ids of the cells, in order. The first one computes the stage.
        forecast: The stage's forecast.
    """

    stage: PlannedStage
    cells: Sequence[str]
    forecast: Forecast

    @property
    def ahead(self) -> Mapping[str, str]:
        """The work ahead, as label to text; empty if the stage is done."""
        return {} if self.stage.state == "done" else self.forecast.ahead


@dataclass(frozen=True)
class SuitePlan:
    """A suite's plan.

    Attributes:
        suite: The suite.
        workspace: The workspace.
        plans: The plan of each cell by its id, in order.
        stages: Every stage once, in the order in which they are computed.
        devices: The devices that the forecasts are made for.
    """

    suite: Suite
    workspace: Workspace
    plans: Mapping[str, Plan]
    stages: Sequence[SharedStage]
    devices: Devices = EXAMPLE_DEVICES

    @property
    def folder(self) -> Path:
        """The suite's folder."""
        return self.workspace.suite(self.suite.folder_name)

    @property
    def total(self) -> int:
        """Number of stages of all cells. A shared stage counts once per cell."""
        return sum(len(plan.stages) for plan in self.plans.values())

    @property
    def todo(self) -> Sequence[SharedStage]:
        """Stages that are not in the store, including started ones."""
        return [shared for shared in self.stages if shared.stage.state != "done"]

    @property
    def disk(self) -> int:
        """Approximate bytes that the stages to do will have on disk at a time, one after another.

        Cells that run at the same time (``--jobs``) need more: each has its checkpoints.
        """
        return disk_needed((shared.stage, shared.forecast) for shared in self.stages)

    def needs(self) -> dict[str, list[str]]:
        """Returns, for each cell, the ids of the cells that compute a stage which it waits for."""
        needed: dict[str, list[str]] = {id_: [] for id_ in self.plans}
        for shared in self.todo:
            first, *others = shared.cells
            for id_ in others:
                if first not in needed[id_]:
                    needed[id_].append(first)
        return needed


@few_collections()
def make_suite_plan(
    suite: Suite, workspace: Workspace, devices: Devices = EXAMPLE_DEVICES
) -> SuitePlan:
    """Returns the plan of a suite in a workspace. Reads no rows and trains nothing.

    Args:
        suite: The suite.
        workspace: The workspace.
        devices: The devices that the forecasts are made for.
    """
    plans: dict[str, Plan] = {}
    for spec in suite.specs:
        assert spec.cell is not None
        plans[spec.cell.id] = make_plan(spec, workspace)
    return SuitePlan(suite, workspace, plans, _shared(plans, devices), devices)


def _shared(plans: Mapping[str, Plan], devices: Devices) -> list[SharedStage]:
    cells: dict[Path, list[str]] = {}
    first: dict[Path, PlannedStage] = {}
    known: dict[Path, Forecast] = {}
    for id_, plan in plans.items():
        asked = forecasts(plan, known, devices)
        for stage in plan.stages:
            first.setdefault(stage.folder, stage)
            known.setdefault(stage.folder, asked[stage.id])
            cells.setdefault(stage.folder, []).append(id_)
    return [SharedStage(stage, cells[folder], known[folder]) for folder, stage in first.items()]
