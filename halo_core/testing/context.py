"""A context to run a stage in without a runner."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from halo_core.events import EventLog
from halo_core.rows import DataSet
from halo_core.stage import ModelInput, StageContext, StopFlag
from halo_core.workspace.records import EVENTS


def stage_context(
    folder: Path,
    *,
    id_: str = "stage",
    seed: int = 0,
    models: Mapping[str, ModelInput] | None = None,
    inputs: Mapping[str, Path] | None = None,
    data: Mapping[str, DataSet] | None = None,
    stop: StopFlag | None = None,
    warn: Callable[[str], None] | None = None,
) -> StageContext:
    """Returns a context whose events go to ``folder/events.jsonl`` and that shows nothing.

    Args:
        folder: The stage's folder; made when it does not exist.
        id_: The stage's id.
        seed: The run's seed.
        models: Option name to model.
        inputs: Option name to the folder of the stage it names.
        data: Option name to rows.
        stop: Set it to ask the stage to stop.
        warn: Takes warnings; they are dropped when left out.
    """
    folder.mkdir(parents=True, exist_ok=True)
    return StageContext.for_folder(
        folder,
        id_=id_,
        seed=seed,
        models=models,
        inputs=inputs,
        data=data,
        events=EventLog(folder / EVENTS.name),
        stop=stop,
        warn=warn,
    )
