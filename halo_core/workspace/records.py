"""All files that halo keeps on disk: their names, their records, and how to read and write them.

A file with one object per line is a `LineFile`, a file with one object an `ObjectFile`. The version
of a line is in ``v``, that of an object in ``schema``. Older files without it are version 1.
Plugins use the same readers: ``SAMPLES.read(folder / SAMPLES.name)``, ``RUN.read(folder)``. The
fields of the records are in four modules by subject, and all of them can be imported from here.
"""

from __future__ import annotations

from pathlib import Path

from halo_core.workspace.folder_records import (
    CheckedRecord as CheckedRecord,
    DataRecord as DataRecord,
    FileCheck as FileCheck,
    JoinRecord as JoinRecord,
    OwnerRecord as OwnerRecord,
    TitleRecord as TitleRecord,
    TrackingRecord as TrackingRecord,
    TrashRecord as TrashRecord,
)
from halo_core.workspace.formats import LineFile, ObjectFile
from halo_core.workspace.line_records import (
    EventLine as EventLine,
    FeedbackLine as FeedbackLine,
    Finish as Finish,
    OrderVerdict as OrderVerdict,
    SampleLine as SampleLine,
    SamplingOptions as SamplingOptions,
    ScoreLine as ScoreLine,
    VerdictLine as VerdictLine,
)
from halo_core.workspace.model_records import (
    CheckpointRecord as CheckpointRecord,
    ModelRecord as ModelRecord,
    ReferenceStoreRecord as ReferenceStoreRecord,
    SavedPiece as SavedPiece,
    SavedTensor as SavedTensor,
    ShardRecord as ShardRecord,
    ShardsRecord as ShardsRecord,
)
from halo_core.workspace.run_records import (
    ComponentRecord as ComponentRecord,
    DoneRecord as DoneRecord,
    ErrorRecord as ErrorRecord,
    RunCell as RunCell,
    RunRecord as RunRecord,
    RunStage as RunStage,
    StageDataRecord as StageDataRecord,
    StageRecord as StageRecord,
    SuiteCell as SuiteCell,
    SuiteRecord as SuiteRecord,
    WorkerRecord as WorkerRecord,
)

SPEC, RESOLVED_SPEC = "spec.yaml", "spec.resolved.yaml"
"""Files in a run's folder: the spec as given, and the spec with every default written out."""
SUITE_SPEC = "suite.yaml"
"""File in a suite's folder: the spec with the matrix, as given."""
ROWS = "rows.arrow"
"""File in a folder below `data/`: the rows of a source."""

AGAIN = "Compute its stage again: halo run SPEC --again STAGE"

SAMPLES = LineFile("samples.jsonl", SampleLine, AGAIN)
PARTIAL_SAMPLES = LineFile(
    "samples.partial.jsonl",
    SampleLine,
    "Remove the file; the same command samples again",
    grows=True,
)
VERDICTS = LineFile("verdicts.jsonl", VerdictLine, AGAIN, grows=True)
SCORES = LineFile("scores.jsonl", ScoreLine, AGAIN, grows=True)
FEEDBACK = LineFile("feedback.jsonl", FeedbackLine, AGAIN)
EVENTS = LineFile("events.jsonl", EventLine, "Remove this line, and only this one", grows=True)

RUN = ObjectFile("run.json", RunRecord, "The halo run that wrote it writes it again")
STAGE = ObjectFile("stage.json", StageRecord, AGAIN)
DONE = ObjectFile("done.json", DoneRecord, "Remove it; the same command computes the stage again")
CHECKED = ObjectFile("checked.json", CheckedRecord, "Remove it; the files are read again")
CHECKPOINT = ObjectFile(
    "state.json",
    CheckpointRecord,
    "Start the run again: it continues from the checkpoint before",
)
SHARD = ObjectFile("shard.json", ShardRecord, CHECKPOINT.mend)
SHARDS = ObjectFile("shards.json", ShardsRecord, CHECKPOINT.mend)
REFERENCE_STORE = ObjectFile(
    "store.json",
    ReferenceStoreRecord,
    "Remove it; the reference is loaded again",
)
ERROR = ObjectFile("error.json", ErrorRecord, "Remove it")
SUITE = ObjectFile("suite.json", SuiteRecord, "Remove it; halo run SUITE writes it again")
DATA = ObjectFile("data.json", DataRecord, "Remove it; the rows are read again")
TITLE = ObjectFile("title.json", TitleRecord, "Remove it; the run is shown by its folder's name")
TRASH = ObjectFile("trash.json", TrashRecord, "Remove the folder that contains it")
OWNER = ObjectFile("owner.json", OwnerRecord, "Remove it")
JOIN = ObjectFile("join.json", JoinRecord, "Remove it; the next run writes it again")
TRACKING = ObjectFile("tracking.json", TrackingRecord, "Remove it; all events are sent again")
MODEL = ObjectFile(
    "halo.json",
    ModelRecord,
    "Remove it; the model is then asked without a control token",
    checks_itself=False,
)


def stage_done(folder: Path) -> DoneRecord | None:
    """Returns the record of a finished stage; None if the stage is not finished."""
    return DONE.read(folder)
