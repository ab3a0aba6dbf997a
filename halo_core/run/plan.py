"""A spec as a list of stages, each with its key, its folder and its state."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from halo_core.errors import DataError, UserError, VersionError
from halo_core.run.identity import digest, folder_digest, stage_identity
from halo_core.spec.spec import Spec
from halo_core.spec.stage_feedback import placed
from halo_core.spec.stages import BASE_MODEL, StageSpec
from halo_core.stage import ModelInput
from halo_core.workspace.layout import Workspace
from halo_core.workspace.lock import unused
from halo_core.workspace.no_links import check_not_a_link
from halo_core.workspace.records import stage_done

State = Literal["done", "started", "new"]
LONGEST_CELL = 80
"""Maximum number of characters of a cell's id in the name of its run's folder."""


@dataclass(frozen=True)
class PlannedStage:
    """A stage of a run.

    Attributes:
        spec: The stage of the spec.
        identity: All that its output depends on. Its hash is `key`.
        key: The name of its output.
        folder: The folder of its output, which may not exist yet.
        state: Whether its output is complete, started or missing.
    """

    spec: StageSpec
    identity: Mapping[str, Any]
    key: str
    folder: Path
    state: State

    @property
    def id(self) -> str:
        """The stage's id in the spec."""
        return self.spec.id


@dataclass(frozen=True)
class Plan:
    """All stages of a run.

    Attributes:
        spec: The spec.
        workspace: The workspace.
        stages: The stages in the order in which they run.
        run_name: The run's folder under ``runs/``: the spec's name, its cell in a suite, and a
            hash of all keys.
        base_model: The model that stages start from; None if a stage makes it.
    """

    spec: Spec
    workspace: Workspace
    stages: Sequence[PlannedStage]
    run_name: str
    base_model: ModelInput | None

    @property
    def run_folder(self) -> Path:
        """The folder of the run."""
        return self.workspace.run(self.run_name)

    def stage(self, id_: str) -> PlannedStage:
        """Returns a stage by its id."""
        return next(stage for stage in self.stages if stage.id == id_)

    def model(self, id_: str) -> ModelInput:
        """Returns the model that a stage makes, or the model that the spec starts from."""
        if id_ == BASE_MODEL and self.base_model is not None:
            return self.base_model
        stage = self.stage(id_)
        return ModelInput(str(stage.folder / "model"), None, stage.key)


def make_plan(spec: Spec, workspace: Workspace) -> Plan:
    """Returns the plan of a spec in a workspace. Reads no rows and trains nothing."""
    base = _base_model(spec)
    keys: dict[str, str] = {BASE_MODEL: base.digest} if base else {}
    stages: list[PlannedStage] = []
    for written in spec.stages:
        stage = _placed(written, stages)
        identity = stage_identity(stage, spec.seed, keys)
        key = digest(identity)
        keys[stage.id] = key
        folder = workspace.stage(stage.resolved.short_name, key)
        stages.append(PlannedStage(stage, identity, key, folder, _state(folder)))
    return Plan(spec, workspace, stages, _run_name(spec, stages), base)


def _placed(stage: StageSpec, before: Sequence[PlannedStage]) -> StageSpec:
    """Returns a stage whose data know the folders with the feedback of earlier stages."""
    if not stage.feedback_from:
        return stage
    places = {earlier.id: (earlier.folder, earlier.key) for earlier in before}
    data = {
        option: replace(
            data_set, sources=tuple(placed(s, places.__getitem__) for s in data_set.sources)
        )
        for option, data_set in stage.data.items()
    }
    return replace(stage, data=data)


def _run_name(spec: Spec, stages: Sequence[PlannedStage]) -> str:
    parts = [spec.name, [[stage.id, stage.key] for stage in stages]]
    if spec.cell is None:
        return f"{spec.name}-{digest(parts)[:6]}"
    # The hash of the whole id keeps the folders of cells apart. Without slashes or when cut, ids
    # may look the same, and cells may have the same stages.
    cell = spec.cell.id.replace("/", "-")[:LONGEST_CELL]
    return f"{spec.name}-{cell}-{digest([*parts, spec.cell.id])[:6]}"


def _base_model(spec: Spec) -> ModelInput | None:
    model = spec.model
    if model.hub is not None:
        return ModelInput(model.hub, model.revision, digest([model.hub, model.revision]))
    if model.path is not None:
        return ModelInput(str(model.path), None, folder_digest(model.path))
    return None


def _state(folder: Path) -> State:
    try:
        if stage_done(folder) is not None:
            return "done"
    except VersionError:
        raise
    except DataError:  # The record is damaged. The run says so and computes the stage again.
        return "started"
    return "started" if folder.is_dir() else "new"


def forget(plan: Plan, again: Sequence[str]) -> None:
    """Removes the output of stages that will be computed again, and of those that depend on them.

    Raises:
        UserError: When a stage is not in the plan.
        BusyError: When another process computes one of them.
    """
    forget_all([plan], again)


def forget_all(plans: Iterable[Plan], again: Sequence[str]) -> None:
    """Removes the output of stages in several plans. A plan may lack some of the stages.

    Raises:
        UserError: When a stage is in none of the plans.
        BusyError: When another process computes one of them.
    """
    plans = list(plans)
    known = dict.fromkeys(stage.id for plan in plans for stage in plan.stages)
    for id_ in again:
        if id_ not in known:
            raise UserError(f"--again {id_}: no such stage; expected one of: {', '.join(known)}")
    for folder in {folder for plan in plans for folder in _folders(plan, again)}:
        with unused(folder, "another run computes this stage; wait for it, or stop it"):
            check_not_a_link(folder)  # Nothing would be removed, and the result would stay.
            shutil.rmtree(folder, ignore_errors=True)


def _folders(plan: Plan, again: Sequence[str]) -> list[Path]:
    forgotten = set(again)
    folders = []
    for stage in plan.stages:
        spec = stage.spec
        sources = {*spec.models.values(), *spec.inputs.values(), *spec.feedback_from}
        if stage.id in forgotten or sources & forgotten:
            forgotten.add(stage.id)
            folders.append(stage.folder)
    return folders
