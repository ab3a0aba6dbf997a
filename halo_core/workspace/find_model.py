"""The model that a command refers to: a stage of a run, or a folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from halo_core.errors import PathError, did_you_mean
from halo_core.workspace.layout import find
from halo_core.workspace.records import DONE, RUN, RunStage

MODEL_FOLDER = "model"
"""Folder of the model in the output of a stage."""


@dataclass(frozen=True)
class FoundModel:
    """A model on this machine.

    Attributes:
        name: Its name: ``RUN:STAGE``, or that of the folder.
        folder: Its folder.
        run: The folder of its run; None if only the model's folder is known.
        stage: The stage that made it; None if only the model's folder is known.
    """

    name: str
    folder: Path
    run: Path | None = None
    stage: RunStage | None = None


def find_model(text: str, workspace: Path) -> FoundModel:
    """Returns the model that a text refers to.

    Args:
        text: ``RUN:STAGE``, ``RUN`` for its last model that is done, or a model's folder.
        workspace: The workspace to search for runs.

    Raises:
        PathError: When there is none, or it is not done yet.
    """
    folder = Path(text).expanduser()
    if (folder / "config.json").is_file():
        return FoundModel(folder.resolve().name, folder.resolve())
    target = find(text, workspace, stages=True)
    record = RUN.read(target.folder)
    if target.kind == "suite" or record is None:
        raise PathError(
            f"{target.folder.name!r} is a suite, which has many models; name one of its runs",
            location=text,
        )
    run = target.folder.name
    models = {stage["id"]: stage for stage in record.get("stages", []) if _makes_model(stage)}
    done = [id_ for id_, stage in models.items() if _is_done(target.workspace, stage)]
    if target.stage is not None and target.stage not in models:
        raise PathError(
            f"the run {run} has no stage {target.stage!r} that makes a model."
            f"{did_you_mean(target.stage, models)} It has {', '.join(models) or 'none'}",
            location=text,
        )
    id_ = target.stage or (done[-1] if done else None)
    if id_ is None or id_ not in done:
        of_run = f"of the run {run}"
        which = f"the stage {id_} {of_run} is not" if id_ else f"no stage with a model {of_run} is"
        raise PathError(
            f"{which} done yet; run its command again, or name another stage", location=text
        )
    stage = models[id_]
    folder = target.workspace / stage["folder"] / MODEL_FOLDER
    return FoundModel(f"{run}:{id_}", folder, target.folder, stage)


def _makes_model(stage: RunStage) -> bool:
    return stage["product"] == "model"


def _is_done(workspace: Path, stage: RunStage) -> bool:
    return DONE.read(workspace / stage["folder"]) is not None
