"""A context for running a stage without a runner."""

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
    """Returns a silent context whose events go to ``folder/events.jsonl``.

    Args:
        folder: The stage's folder. It is created if it does not exist.
        id_: The stage's id.
        seed: The run's seed.
        models: Models by option name.
        inputs: Folders of stages by the option name that refers to them.
        data: Rows by option name.
        stop: A flag. Set it to ask the stage to stop.
        warn: Receives warnings. By default they are dropped.
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
