"""The forecast of `halo plan` for stages: rows, weights, sizes, and changes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from halo_core.devices import EXAMPLE_DEVICES, Devices
from halo_core.errors import DataError, HaloError, PluginError
from halo_core.guarded.blame import blaming, plugin_error
from halo_core.guarded.stage_calls import forecast_of
from halo_core.leaves import leaves
from halo_core.run.identity import digest, source_identity
from halo_core.run.known_models import known_base
from halo_core.run.plan import Plan, PlannedStage
from halo_core.spec.data_sets import SetSpec, Source
from halo_core.spec.stages import BASE_MODEL
from halo_core.stage import Forecast, Known, KnownModel
from halo_core.workspace.disk import free_bytes, with_margin
from halo_core.workspace.layout import Workspace
from halo_core.workspace.records import DATA, DONE, ROWS, STAGE, StageRecord


def about_rows(data: SetSpec, workspace: Workspace) -> int | None:
    """Returns the number of rows of a set; None if the number of a source is unknown.

    Rows on disk are counted.

    Args:
        data: The set.
        workspace: The workspace that would have its rows.
    """
    counts = [_source_rows(source, workspace) for source in data.sources]
    known = [count for count in counts if count is not None]
    return sum(known) if len(known) == len(counts) else None


def _row_bytes(data: SetSpec, workspace: Workspace) -> float | None:
    """Returns the bytes of a row of a set on disk; None if a source is not on disk."""
    size = rows = 0
    for source in data.sources:
        if source.info.digest is None:
            return None
        folder = workspace.data(digest(source_identity(source)))
        record, file = DATA.read(folder), folder / ROWS
        if record is None or not file.is_file():
            return None
        size, rows = size + file.stat().st_size, rows + record["rows"]
    return size / rows if rows else None


def _source_rows(source: Source, workspace: Workspace) -> int | None:
    if source.info.digest is not None:
        record = DATA.read(workspace.data(digest(source_identity(source))))
        if record is not None:
            return record["rows"]
    about = _about(source)
    if about is None or source.part is None:
        return about
    share = source.part.fraction if source.part.side == "held" else 1 - source.part.fraction
    return round(about * share)


def _about(source: Source) -> int | None:
    component = source.component
    with blaming(component, "about_rows"):
        about: object = component.about_rows(source.split)
    if about is None or (isinstance(about, int) and not isinstance(about, bool) and about >= 0):
        return about
    what = f"returned {about!r}; expected a number of rows, or None"
    raise plugin_error(component, "about_rows", what)


SHOWN = 5


def what_changed(workspace: Workspace, stage: PlannedStage) -> list[str]:
    """Returns the main differences from the most similar finished result, one per line."""
    prefix = stage.folder.name.rpartition("-")[0]
    mine = dict(leaves(stage.identity))
    nearest: list[str] | None = None
    for folder in sorted((workspace.root / "stages").glob(f"{prefix}-*")):
        record = _recorded(folder)
        if record is None or not (folder / DONE.name).exists():
            continue
        changes = _differences(mine, dict(leaves(record["identity"])))
        if nearest is None or len(changes) < len(nearest):
            nearest = changes
    return (nearest or [])[:SHOWN]


def _recorded(folder: Path) -> StageRecord | None:
    """Returns the record of a stage; None if it cannot be read, which is not an error here."""
    try:
        return STAGE.read(folder)
    except DataError:
        return None


def _differences(mine: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    names = sorted({*mine, *other})
    return [
        f"{name}: {other.get(name, 'nothing')} -> {mine.get(name, 'nothing')}"
        for name in names
        if mine.get(name) != other.get(name)
    ]


def forecasts(
    plan: Plan,
    earlier: Mapping[Path, Forecast] | None = None,
    devices: Devices = EXAMPLE_DEVICES,
) -> dict[str, Forecast]:
    """Returns each stage's forecast by its id, without torch.

    Args:
        plan: The plan. Stages that start from a stage's model are given what is known about it.
        earlier: Known forecasts by folder, of stages that cells of a suite share.
        devices: The devices that the plan is made for.

    Raises:
        PluginError: When a stage breaks its interface.
    """
    models = {} if plan.base_model is None else {BASE_MODEL: known_base(plan.spec.model)}
    by_stage: dict[str, Forecast] = {}
    for stage in plan.stages:
        forecast = (earlier or {}).get(stage.folder) or _forecast(plan, stage, models, devices)
        by_stage[stage.id] = forecast
        if stage.spec.component.produces == "model":
            before = models.get(stage.spec.start or "", KnownModel())
            config = before.config if forecast.config is None else forecast.config
            models[stage.id] = replace(before, weights=forecast.weights, config=config)
    return by_stage


def disk_needed(stages: Iterable[tuple[PlannedStage, Forecast]]) -> int:
    """Returns the approximate bytes that the unfinished stages will have on disk at a time.

    Stages run one after the other, each next to what the earlier ones leave. A stage that does not
    know its bytes counts as 0.

    Args:
        stages: Each stage of a run or a suite once, with its forecast.
    """
    most = left = 0
    for stage, forecast in stages:
        if stage.state == "done":
            continue
        disk = forecast.disk or 0
        most = max(most, left + disk)
        left += disk if forecast.left is None else forecast.left
    return most


def disk_warning(needed: int, folder: Path) -> str | None:
    """Returns a warning for `halo plan` if too few bytes are free; None if there are enough.

    Args:
        needed: Number of bytes to write.
        folder: The folder to write to.
    """
    free = free_bytes(folder)
    if not needed or with_margin(needed) <= free:
        return None
    return (
        f"{folder}: the stages need about {_told(needed)}; {_told(free)} are free. "
        "A run stops before it writes a file that does not fit; make room first"
    )


def _told(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 10**8 else f"{size:,} bytes"


def _forecast(
    plan: Plan, stage: PlannedStage, models: Mapping[str, KnownModel], devices: Devices
) -> Forecast:
    weights = models.get(stage.spec.start or "", KnownModel()).weights
    of_options = {option: models[id_] for option, id_ in stage.spec.models.items() if id_ in models}
    known = replace(known_of(plan, stage, weights), models=of_options, devices=devices)
    try:
        return forecast_of(stage.spec.component, known)
    except PluginError:
        raise
    except HaloError as error:
        return Forecast(ahead={"ahead": f"unknown: {error}"})


def known_of(plan: Plan, stage: PlannedStage, weights: int | None) -> Known:
    """Returns what is known about a stage before it runs.

    Args:
        plan: The plan.
        stage: A stage of the plan.
        weights: Number of weights of the model that it starts from, if known.
    """
    rows = {option: about_rows(data, plan.workspace) for option, data in stage.spec.data.items()}
    sources = {option: plan.stage(name) for option, name in stage.spec.inputs.items()}
    return Known(
        weights=weights,
        learned=_together(rows[option] for option in stage.spec.learned),
        rows=rows,
        row_bytes={o: _row_bytes(data, plan.workspace) for o, data in stage.spec.data.items()},
        inputs={option: made.folder for option, made in sources.items() if made.state == "done"},
        cache=plan.workspace.cache,
        done=stage.state == "done",
    )


def _together(rows: Iterable[int | None]) -> int | None:
    """Returns the sum; None if there are no parts or one of them is unknown."""
    counts = list(rows)
    known = [count for count in counts if count is not None]
    return sum(known) if known and len(known) == len(counts) else None
