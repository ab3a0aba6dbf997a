"""Reads the output of a run: its events, its stages' folders and its spec.

Parts that are missing because the run failed or is still running stay empty.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from halo_core.errors import DataError
from halo_core.events import Event, read_events
from halo_core.overview.spec_difference import spec_tree
from halo_core.workspace.check_values import check_file, check_product
from halo_core.workspace.formats import LineFile
from halo_core.workspace.lock import is_owned
from halo_core.workspace.records import (
    DONE,
    EVENTS,
    RESOLVED_SPEC,
    RUN,
    SAMPLES,
    SPEC,
    VERDICTS,
    ComponentRecord,
    FileCheck,
    RunRecord,
    SampleLine,
    VerdictLine,
    stage_done,
)
from halo_core.workspace.run_title import run_title
from halo_report.read.stage_facts import computed_seconds, stage_inputs

LineT = TypeVar("LineT", bound=Mapping[str, Any])

Curve = Mapping[int, float]
"""Values by step (>= 1), in the order of the steps."""


@dataclass(frozen=True)
class StageData:
    """The output of one stage.

    Attributes:
        id: Its id in the spec.
        use: Its component (``train``, ``sample``, ``judge``).
        product: Its product: ``model``, ``samples``, ``verdicts``, ``feedback``, or "".
        status: ``computed``, ``cached``, ``failed``, ``interrupted``, ``running`` or ``pending``.
        loss: The name of its loss, or "".
        headline: Its sentence for the summary, or "".
        metrics: Its final numbers.
        curves: Values over the steps, by metric name.
        samples: Lines of ``samples.jsonl``.
        verdicts: Lines of ``verdicts.jsonl``.
        options: Its options in the resolved spec, if any.
        start: The id of the stage whose model it starts from or samples, or "".
        judged: The id of the stage whose samples it judges or uses, or "" if it is not known.
        rival: The text that it compares with: ``target``, the id of a sampling stage, or "".
        seconds: Time that it was computed, in all attempts together; None if it is not known.
        round: Number of its round, from 1; 0 outside of rounds.
        repeats: The id in the spec of the stage that rounds repeat, or "".
    """

    id: str
    use: str
    status: str = "pending"
    product: str = ""
    loss: str = ""
    headline: str = ""
    metrics: Mapping[str, float] = field(default_factory=dict)
    curves: Mapping[str, Curve] = field(default_factory=dict)
    samples: Sequence[SampleLine] = ()
    verdicts: Sequence[VerdictLine] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    start: str = ""
    judged: str = ""
    rival: str = ""
    seconds: float | None = None
    round: int = 0
    repeats: str = ""

    @property
    def ended(self) -> bool:
        """Returns whether the stage's output is complete."""
        return self.status in ("computed", "cached")


@dataclass(frozen=True)
class RunData:
    """The output of one run.

    Attributes:
        folder: The run's folder.
        name: Name of its folder.
        title: Its name for people, which says what varies; "" if its record is gone.
        status: ``done``, ``failed``, ``interrupted`` or ``running``.
        headline: The summary sentence of the run, else of its last stage, else "".
        error: The error that ended it, or "".
        command: The command line, or "".
        started: Unix seconds at which it was last started, or None.
        ended: Unix seconds of the last event, or None.
        stages: The stages in the order of the run.
        warnings: Pairs of stage (or "") and message, each once.
        spec: The original spec, or "".
        resolved: The resolved spec, or "".
        components: The components used, as mappings with ``kind``, ``name``, ``distribution``,
            ``version``, ``origin``.
        versions: Versions by distribution.
        live: Whether a process works on the run now.
        unended: A sentence that says that a run which nobody works on has no end, else "".
    """

    folder: Path
    name: str
    status: str
    headline: str
    error: str
    command: str
    started: float | None
    ended: float | None
    stages: Sequence[StageData]
    warnings: Sequence[tuple[str, str]]
    spec: str
    resolved: str
    components: Sequence[ComponentRecord]
    versions: Mapping[str, str]
    live: bool = False
    unended: str = ""
    title: str = ""


MOST_NAMED = 6
"""Largest number of runs that a sentence names."""
NO_RECORD = (
    f"{RUN.name} is gone: the command, the components and the versions of this run are not known. "
    "Run the same command again: halo run writes it again"
)

NO_END = (
    f"{EVENTS.name} has no end of the run, and no process works on it: it was killed, or the file "
    "was cut. Run the same command again, and halo run writes what is missing"
)


def gone_records(runs: Iterable[RunData]) -> list[str]:
    """Returns a sentence about the runs whose `run.json` is gone; no sentence without such runs."""
    names = {run.folder.name: None for run in runs if ("", NO_RECORD) in run.warnings}
    if not names:
        return []
    shown = ", ".join(list(names)[:MOST_NAMED])
    more = len(names) - MOST_NAMED
    return [f"{shown}{f' and {more} more' if more > 0 else ''}: {NO_RECORD}"]


def read_run(folder: Path) -> RunData:
    """Returns the output of the run in `folder` so far.

    Args:
        folder: A folder under ``runs/`` of a workspace. The last of repeated steps counts.

    Raises:
        DataError: When a file cannot be read. The message names file and line.
    """
    record = RUN.read(folder) or RunRecord()
    title = run_title(folder)
    live = is_owned(folder)  # Read before the events: it ends after the last of them.
    events = [event for event, _ in read_events(folder / EVENTS.name)]
    _check_start(folder, record, events)
    ended = _last_of(events, "run-started", "run-ended")
    outcome = ended.get("status")
    checks = record.get("files", {})
    resolved = _read_text(folder / RESOLVED_SPEC, checks)
    stages = _read_stages(folder, record, events, outcome, stage_options(resolved))
    if outcome is None:  # Reports are written just before a run ends.
        outcome = "done" if stages and all(stage.ended for stage in stages) else "running"
    unended = NO_END if outcome == "running" and not live else ""
    starts = [event["time"] for event in events if event["type"] == "run-started"]
    headlines = [stage.headline for stage in stages if stage.headline]
    return RunData(
        folder=folder,
        name=str(record.get("name") or folder.name),
        title="" if title == folder.name else title,
        status=outcome,
        headline=ended.get("headline") or (headlines[-1] if headlines else ""),
        error=ended.get("error") or "",
        command=" ".join(record.get("command", ())),
        started=starts[-1] if starts else None,
        ended=max((event["time"] for event in events), default=None),
        stages=stages,
        warnings=[
            *_read_warnings(events),
            *([] if record else [("", NO_RECORD)]),
            *([("", unended)] if unended else []),
        ],
        unended=unended,
        spec=_read_text(folder / SPEC, checks),
        resolved=resolved,
        components=record.get("components", ()),
        versions=record.get("versions", {}),
        live=live and outcome == "running",
    )


def _check_start(folder: Path, record: RunRecord, events: Iterable[Event]) -> None:
    stages = [folder.parent.parent / stage["folder"] for stage in record.get("stages", ())]
    started = any(event["type"] == "run-started" for event in events)
    if not started and any((stage / DONE.name).exists() for stage in stages):
        raise DataError(
            "does not contain the start of the run, although stages are done. If the run is just "
            "starting, wait. If not, the file is damaged: run the same command again, and halo run "
            "writes the events of finished stages again",
            location=str(folder / EVENTS.name),
        )


def read_curves(events: Iterable[Event]) -> dict[str, dict[int, float]]:
    """Returns {step: value} by metric name, sorted by step. The last of repeated steps counts."""
    curves: dict[str, dict[int, float]] = {}
    for event in events:
        if event["type"] == "metrics":
            for name, value in event["metrics"].items():
                curves.setdefault(name, {})[int(event["step"])] = float(value)
    return {name: dict(sorted(curve.items())) for name, curve in curves.items()}


def stage_options(resolved_spec: str) -> Mapping[str, Mapping[str, Any]]:
    """Returns each stage's options by stage id, with all defaults; {} without a spec.

    Args:
        resolved_spec: The text of ``spec.resolved.yaml``.
    """
    stages = spec_tree(resolved_spec).get("stages")
    items = stages.items() if isinstance(stages, Mapping) else ()
    return {id_: stage for id_, stage in items if isinstance(stage, Mapping)}


def _read_stages(
    run: Path,
    record: RunRecord,
    events: Sequence[Event],
    outcome: str | None,
    options: Mapping[str, Mapping[str, Any]],
) -> list[StageData]:
    listed: dict[str, Mapping[str, Any]] = {s["id"]: s for s in record.get("stages", ())}
    # If the record is missing, the events still name the stages.
    started = {event["stage"]: event for event in events if event["type"] == "stage-started"}
    workspace = run.parent.parent
    return [
        _read_stage(
            id_,
            stage,
            [event for event in events if event.get("stage") == id_],
            workspace / stage["folder"],
            unfinished=outcome or "running",
            options=options.get(id_, {}),
        )
        for id_, stage in {**started, **listed}.items()
    ]


def _read_stage(
    id_: str,
    record: Mapping[str, Any],
    events: Sequence[Event],
    folder: Path,
    *,
    unfinished: str,
    options: Mapping[str, Any],
) -> StageData:
    """Returns a stage from its record, its events and its folder.

    Args:
        id_: Its id in the spec.
        record: Its entry in ``run.json``, else the event of its start.
        events: Its own events, in order.
        folder: The folder of its product.
        unfinished: Its status if it started and did not end.
        options: Its options in the resolved spec.
    """
    began = any(event["type"] == "stage-started" for event in events)
    ended = _last_of(events, "stage-started", "stage-ended")
    return StageData(
        id=id_,
        use=str(record.get("use") or ""),
        status=str(ended.get("status") or (unfinished if began else "pending")),
        product=str(record.get("product") or ended.get("product") or ""),
        loss=str(record.get("loss") or ""),
        headline=str(ended.get("headline") or ""),
        metrics=ended.get("metrics") or {},
        curves=read_curves(events),
        samples=_read_lines(SAMPLES, folder, events, "samples"),
        verdicts=_read_lines(VERDICTS, folder, events, "verdicts"),
        options=options,
        **stage_inputs(record, options),
        seconds=computed_seconds(events),
        round=int(record.get("round") or 0),
        repeats=str(record.get("repeats") or ""),
    )


def _read_lines(
    file: LineFile[LineT], folder: Path, events: Sequence[Event], product: str
) -> list[LineT]:
    """Returns the lines of a stage's samples or verdicts; all lines, once the stage is finished.

    Args:
        file: The file to read.
        folder: The stage's folder. Another run may be recomputing the stage there right now.
        events: The stage's events, in order.
        product: Type of the event that has the number of lines written.

    Raises:
        DataError: When a line is damaged, or a finished stage's file is not as it was written.
    """
    if not _last_of(events, "stage-started", "stage-ended") or stage_done(folder) is None:
        return list(file.read(folder / file.name))
    told = _last_of(events, "stage-started", product)
    count = told.get("count") if told.get("path") == file.name else None
    lines = file.read_finished(folder / file.name, count if isinstance(count, int) else None)
    check_product(folder, file.name)
    return lines


def _read_warnings(events: Iterable[Event]) -> list[tuple[str, str]]:
    warnings = (
        (str(event.get("stage") or ""), str(event["message"]))
        for event in events
        if event["type"] == "warning"
    )
    # A resumed run repeats its warnings.
    return list(dict.fromkeys(warnings))


def _last_of(events: Iterable[Event], begins: str, ends: str) -> Event:
    """Returns the last `ends` event, or {} if a `begins` event follows it."""
    last: Event = {}
    for event in events:
        if event["type"] == begins:
            last = {}
        elif event["type"] == ends:
            last = event
    return last


def _read_text(path: Path, checks: Mapping[str, FileCheck]) -> str:
    check_file(path, checks, "Run the same command again: halo run writes it again")
    return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
