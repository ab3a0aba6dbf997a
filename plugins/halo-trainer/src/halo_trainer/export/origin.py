"""The origin of an exported model: the base model, the stages that trained it, and their data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from halo_core.workspace.recorded_roles import option_with, started_from
from halo_core.workspace.records import DATA, STAGE, DataRecord, RunStage, StageDataRecord
from halo_trainer.export.source import ExportSource


@dataclass(frozen=True)
class BaseModel:
    """The model that a run, or an adapter, started from.

    Attributes:
        name: Its id on the hub; None if it has none.
        revision: Its revision on the hub, if the spec names one.
        words: A description for people.
    """

    name: str | None
    revision: str | None
    words: str


@dataclass(frozen=True)
class UsedData:
    """Rows that a stage learned from.

    Attributes:
        stage: The stage's id.
        name: Name of the data set in the spec.
        source: Name of the component that read it, or of the stage that made it.
        split: The split that was read.
        feedback: The kind of the rows.
        rows: Number of rows; None if they are no longer in the workspace.
    """

    stage: str
    name: str
    source: str
    split: str
    feedback: str
    rows: int | None


@dataclass(frozen=True)
class Origin:
    """All that a model was made from.

    Attributes:
        base: The model that the first stage started from.
        start: The model that the exported stage itself started from.
        stages: The stages that made the model one after another, the exported one last.
        data: The rows that they learned from.
        hub_data: Ids of data sets on the hub among this data, each once.
    """

    base: BaseModel
    start: BaseModel
    stages: Sequence[RunStage]
    data: Sequence[UsedData]
    hub_data: Sequence[str]


def origin_of(source: ExportSource) -> Origin:
    """Returns the origin of a stage's model, from the records of the run.

    Raises:
        DataError: When a record cannot be read.
    """
    by_id = {stage["id"]: stage for stage in source.record.get("stages", [])}
    stages = [source.stage]
    while (before := by_id.get(started_from(stages[0]))) is not None:
        stages.insert(0, before)
    learned = [part for stage in stages for part in _learned(source, stage)]
    hub_data = dict.fromkeys(
        id_ for _, record in learned if record is not None for id_ in _hub_ids(record["source"])
    )
    return Origin(
        base=_first_model(source, stages[0]),
        start=_start(source, stages),
        stages=stages,
        data=[used for used, _ in learned],
        hub_data=list(hub_data),
    )


def _start(source: ExportSource, stages: Sequence[RunStage]) -> BaseModel:
    if len(stages) == 1:
        return _first_model(source, stages[0])
    return BaseModel(None, None, f"the model of the stage {stages[-2]['id']!r} of the same run")


def _first_model(source: ExportSource, stage: RunStage) -> BaseModel:
    record = STAGE.read(source.stage_folder(stage))
    model = (record or {"models": {}})["models"].get(option_with(stage, "start"))
    if record is not None and model is None and record["stage"].get("use") == "gguf":
        digest = record["identity"]["stage"]["files"]["file"]
        name = Path(record["stage"]["file"]).name
        return BaseModel(None, None, f"the GGUF file {name} with the SHA-256 {digest}, dequantised")
    if model is None:
        return BaseModel(None, None, f"none: {stage['id']} made it from random weights")
    path, revision = str(model["path"]), model.get("revision")
    if revision is None and Path(path).is_absolute():
        # The folders above it are nobody else's business.
        return BaseModel(None, None, f"a local folder named {Path(path).name}")
    return BaseModel(path, revision, path if revision is None else f"{path} at {revision}")


def _learned(source: ExportSource, stage: RunStage) -> Iterator[tuple[UsedData, DataRecord | None]]:
    """Yields each source that a stage learned from, with the record of its rows if it is there."""
    record = STAGE.read(source.stage_folder(stage))
    roles = stage.get("roles", {"data": "learn"})
    for option, data in (record["data"] if record is not None else {}).items():
        if roles.get(option.partition(".")[0]) != "learn":
            continue
        for file in data["files"]:
            # The workspace may have been moved since.
            rows = DATA.read(source.workspace.data(Path(file).parent.name))
            yield _used(stage["id"], data, rows), rows


def _used(stage: str, data: StageDataRecord, rows: DataRecord | None) -> UsedData:
    if rows is None:
        return UsedData(stage, data["name"], "unknown", "", data["feedback"], None)
    return UsedData(
        stage=stage,
        name=data["name"],
        source=_source_name(rows["source"]),
        split=rows["split"],
        feedback=rows["feedback"],
        rows=rows["rows"],
    )


def _source_name(tree: Mapping[str, Any]) -> str:
    return str(tree["stage"] if "stage" in tree else tree.get("use", "unknown"))


def _hub_ids(tree: object) -> Iterator[str]:
    """Yields the ids of hub data sets in a source, and in sources inside it."""
    if isinstance(tree, Mapping):
        option = "id" if tree.get("use") == "hub" else "hub"
        if isinstance(id_ := tree.get(option), str) and tree.get("path") is None:
            yield id_
        tree = list(tree.values())
    if isinstance(tree, list):
        for part in tree:
            yield from _hub_ids(part)
