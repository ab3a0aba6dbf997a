"""The plans of all cells of a suite together: what they share, what is done, what is to do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from halo_core.model_size import count_parameters
from halo_core.plan import Plan, PlannedStage, make_plan
from halo_core.row_count import stage_rows
from halo_core.spec.suite import Suite
from halo_core.store import Workspace


@dataclass(frozen=True)
class SharedStage:
    """A stage, and the cells that have it.

    Attributes:
        stage: As the first of the cells has it.
        cells: Ids of the cells, in order; the first one computes it.
        taken: Weights of the model it starts from; None if unknown.
        rows: About the rows of its data; None if unknown.
    """

    stage: PlannedStage
    cells: Sequence[str]
    taken: int | None
    rows: int | None

    @property
    def size(self) -> Mapping[str, str]:
        """What the stage says of its size, as label to text."""
        return self.stage.spec.component.size(self.taken, self.rows)


@dataclass(frozen=True)
class SuitePlan:
    """A suite's plan.

    Attributes:
        suite: What was planned.
        workspace: Where.
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
        found: dict[str, list[str]] = {id_: [] for id_ in self.plans}
        for shared in self.todo:
            first, *others = shared.cells
            for id_ in others:
                if first not in found[id_]:
                    found[id_].append(first)
        return found


def make_suite_plan(suite: Suite, workspace: Workspace) -> SuitePlan:
    """Returns the plan of a suite in a workspace; reads no rows and trains nothing."""
    plans: dict[str, Plan] = {}
    for spec in suite.specs:
        assert spec.cell is not None
        plans[spec.cell.id] = make_plan(spec, workspace)
    return SuitePlan(suite, workspace, plans, _shared(plans, workspace))


def _shared(plans: Mapping[str, Plan], workspace: Workspace) -> list[SharedStage]:
    cells: dict[Path, list[str]] = {}
    first: dict[Path, tuple[PlannedStage, int | None]] = {}
    for id_, plan in plans.items():
        weights = count_parameters(plan)
        for stage in plan.stages:
            taken = weights.get(stage.spec.models.get("from", ""))
            first.setdefault(stage.folder, (stage, taken))
            cells.setdefault(stage.folder, []).append(id_)
    return [
        SharedStage(stage, cells[folder], taken, stage_rows(stage.spec, workspace))
        for folder, (stage, taken) in first.items()
    ]
