"""The plans of all cells of a suite together: what they share, what is done, what is to do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from halo_core.run.forecast import forecasts
from halo_core.run.plan import Plan, PlannedStage, make_plan
from halo_core.spec.suite import Suite
from halo_core.stage import Forecast
from halo_core.workspace.layout import Workspace


@dataclass(frozen=True)
class SharedStage:
    """A stage, and the cells that have it.

    Attributes:
        stage: As the first of the cells has it.
        cells: Ids of the cells, in order; the first one computes it.
        forecast: What it says of itself.
    """

    stage: PlannedStage
    cells: Sequence[str]
    forecast: Forecast

    @property
    def ahead(self) -> Mapping[str, str]:
        """What is still to do, as label to text; nothing where the stage is done."""
        return {} if self.stage.state == "done" else self.forecast.ahead


@dataclass(frozen=True)
class SuitePlan:
    """A suite's plan.

    Attributes:
        suite: What was planned.
        workspace: The workspace that it is planned for.
        plans: Id of a cell to its plan, in order.
        stages: Every output once, in the order in which they are computed one after the other.
    """

    suite: Suite
    workspace: Workspace
    plans: Mapping[str, Plan]
    stages: Sequence[SharedStage]

    @property
    def folder(self) -> Path:
        """The suite's folder."""
        return self.workspace.suite(self.suite.folder_name)

    @property
    def total(self) -> int:
        """Stages of all cells, shared ones counted for each."""
        return sum(len(plan.stages) for plan in self.plans.values())

    @property
    def todo(self) -> Sequence[SharedStage]:
        """Stages that are not in the store, begun ones too."""
        return [shared for shared in self.stages if shared.stage.state != "done"]

    def needs(self) -> dict[str, list[str]]:
        """Returns id of a cell to the ids of those that compute a stage which it waits for."""
        needed: dict[str, list[str]] = {id_: [] for id_ in self.plans}
        for shared in self.todo:
            first, *others = shared.cells
            for id_ in others:
                if first not in needed[id_]:
                    needed[id_].append(first)
        return needed


def make_suite_plan(suite: Suite, workspace: Workspace) -> SuitePlan:
    """Returns the plan of a suite in a workspace; reads no rows and trains nothing."""
    plans: dict[str, Plan] = {}
    for spec in suite.specs:
        assert spec.cell is not None
        plans[spec.cell.id] = make_plan(spec, workspace)
    return SuitePlan(suite, workspace, plans, _shared(plans))


def _shared(plans: Mapping[str, Plan]) -> list[SharedStage]:
    cells: dict[Path, list[str]] = {}
    first: dict[Path, PlannedStage] = {}
    known: dict[Path, Forecast] = {}
    for id_, plan in plans.items():
        asked = forecasts(plan, known)
        for stage in plan.stages:
            first.setdefault(stage.folder, stage)
            known.setdefault(stage.folder, asked[stage.id])
            cells.setdefault(stage.folder, []).append(id_)
    return [SharedStage(stage, cells[folder], known[folder]) for folder, stage in first.items()]
