"""Runs one stage from its folder alone, in the controller's process or in a worker.

`stage.json` holds everything: the component with its options, its models, inputs and rows, and the
seed. Rank 0 writes `done.json` last, and this means that the output is complete.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import asdict
from functools import partial
from pathlib import Path
from signal import SIGINT, SIGTERM
from typing import Any, cast

from halo_core.errors import (
    HaloError,
    Interrupted,
    PluginError,
    SpecErrors,
    UserError,
    WorkerError,
    error_text,
    exit_code_of,
)
from halo_core.events import EventLog
from halo_core.forked import no_second_process
from halo_core.guarded.blame import blaming_exit, owns
from halo_core.guarded.stage_calls import check_product, checked_result, tidy_folder
from halo_core.known_secrets import hide_known, hide_known_in
from halo_core.plugins.builtin_names import RESERVED
from halo_core.plugins.discovery import discover
from halo_core.plugins.local_file import FILE_PREFIX
from halo_core.process_end import how_ended
from halo_core.progress import Progress, SilentProgress
from halo_core.rows import DataSet
from halo_core.run.ended_ranks import (
    CONTINUE,
    named,
    processes_here,
    rank_here,
    this_worker,
    told_death,
)
from halo_core.run.error_record import error_of, error_record
from halo_core.run.plan import Plan, PlannedStage
from halo_core.run.rank_warnings import warnings_of_all
from halo_core.spec.document import Document
from halo_core.spec.mistakes import Mistakes
from halo_core.spec.resolved import Resolved
from halo_core.spec.resolver import Resolver
from halo_core.stage import (
    ModelInput,
    Stage,
    StageContext,
    StageResult,
    StopFlag,
)
from halo_core.stop_flag import from_outside
from halo_core.workspace.check_values import check_values, files_made
from halo_core.workspace.disk import told_of_paths
from halo_core.workspace.files import make_durable
from halo_core.workspace.lock import owned
from halo_core.workspace.records import (
    DONE,
    ERROR,
    EVENTS,
    STAGE,
    ComponentRecord,
    DoneRecord,
    StageDataRecord,
    StageRecord,
    stage_done,
)


def write_stage(plan: Plan, stage: PlannedStage, rows: Mapping[str, Any]) -> None:
    """Writes the instructions for a stage into its folder.

    Args:
        plan: The plan that the stage belongs to.
        stage: The stage.
        rows: The `halo_core.run.materialise.Rows` of its sources, by data option.
    """
    record = StageRecord(
        id=stage.id,
        key=stage.key,
        seed=plan.spec.seed,
        stage=stage.spec.resolved.tree(),
        models={o: asdict(plan.model(name)) for o, name in stage.spec.models.items()},
        inputs={o: str(plan.stage(name).folder) for o, name in stage.spec.inputs.items()},
        data={
            option: StageDataRecord(
                name=stage.spec.data[option].name,
                feedback=sources[0].feedback,
                files=[str(source.file) for source in sources],
            )
            for option, sources in rows.items()
        },
        cache=str(plan.workspace.cache),
        events=str(plan.run_folder / EVENTS.name),
        identity=dict(stage.identity),
        components=[component_record(part) for part in stage.spec.resolved.all()],
    )
    STAGE.write(stage.folder, record)


def component_record(resolved: Resolved) -> ComponentRecord:
    """Returns a run's record of a component: its name, its options and its exact origin."""
    from halo_core.run.identity import source_hash, version

    registration = resolved.registration
    local = registration.target.startswith(FILE_PREFIX)
    return ComponentRecord(
        kind=registration.kind,
        name=resolved.name,
        distribution=registration.distribution,
        version=registration.version,
        origin=registration.origin,
        source=version(registration) if local else source_hash(registration),
        options={k: v for k, v in resolved.tree().items() if k != "use"},
    )


def execute(
    folder: Path, *, stop: StopFlag, progress: Progress | None = None, main: bool = True
) -> DoneRecord:
    """Runs or continues the stage in a folder, and returns the content of `done.json`.

    Args:
        folder: A stage's folder with `stage.json`.
        stop: A flag that the caller sets when the stage should save its state and stop.
        progress: Shows progress bars; silent by default.
        main: Whether this process is rank 0. Only rank 0 writes events and `done.json`.

    Raises:
        UserError: When the folder has no `stage.json`.
        BusyError: When another process writes there for more than half a minute.
        HaloError: Any error that the stage raises on purpose.
        PluginError: When the code of a third-party component raises.
        DiskError: When a path cannot be read or written.
    """
    record = STAGE.read(folder)
    if record is None:
        raise UserError(f"no {STAGE.name} here; expected a stage's folder", location=str(folder))
    # Rank 0 itself owns the folder, because its controller may be killed, and another one may
    # start, while it writes.
    owning = owned(folder, check=partial(_check, stop)) if main else nullcontext()
    with told_of_paths(), owning:
        return _execute(record, folder, stop, progress, main)


def _check(stop: StopFlag) -> None:
    if stop.is_set():
        stop.raise_interrupted("nothing was begun")


def _execute(
    record: StageRecord, folder: Path, stop: StopFlag, progress: Progress | None, main: bool
) -> DoneRecord:
    resolved = resolved_stage(record)
    log = EventLog(folder / EVENTS.name, Path(record["events"])) if main else EventLog()
    shown = progress or SilentProgress()

    def show(message: str) -> None:
        log.append("warning", stage=record["id"], message=message)
        shown.warn(message)

    rank, processes = (0 if main else rank_here()), processes_here()
    with warnings_of_all(folder, rank, processes, show) as warn:
        context = _context(record, folder, log, shown, stop, warn)
        result = _run(resolved, context)
    done = DoneRecord(metrics=dict(result.metrics), headline=hide_known(result.headline))
    if main:
        # Checked before `done.json` is written, which tells later runs that the output is complete.
        check_product(cast(Stage, resolved.component), folder)
        done["files"] = check_values(folder, files_made(folder))
        make_durable(folder)
        DONE.write(folder, done)
        # This is last, because a stage that is not done may need these files.
        if (message := tidy_folder(cast(Stage, resolved.component), folder)) is not None:
            show(message)
    return done


def resolved_stage(record: StageRecord) -> Resolved:
    """Returns the component of a stage with its options, from its record."""
    document = Document(STAGE.name, Path("/"), {"stage": record["stage"]})
    mistakes = Mistakes(document)
    resolved = Resolver(discover(), mistakes).resolve("stage", record["stage"], ("stage",))
    mistakes.raise_if_any()
    assert resolved is not None
    return resolved


def _context(
    record: StageRecord,
    folder: Path,
    log: EventLog,
    progress: Progress,
    stop: StopFlag,
    warn: Callable[[str], None],
) -> StageContext:
    return StageContext.for_folder(
        folder,
        id_=record["id"],
        seed=record["seed"],
        models={option: ModelInput(**model) for option, model in record["models"].items()},
        inputs={option: Path(path) for option, path in record["inputs"].items()},
        data={
            option: DataSet(data["name"], data["feedback"], [Path(f) for f in data["files"]])
            for option, data in record["data"].items()
        },
        cache=Path(record["cache"]),
        events=log,
        progress=progress,
        stop=stop,
        warn=warn,
    )


def _run(resolved: Resolved, context: StageContext) -> StageResult:
    stage = cast(Stage, resolved.component)
    try:
        with no_second_process(f"{stage.spec_name}.run()"):
            result = stage.run(context)
    except UserError as error:
        if not error.location and not isinstance(error, SpecErrors):
            error.location = f"stages.{context.id}"
        raise
    except HaloError:
        raise
    except BaseException as error:
        if from_outside(error):
            raise
        culprit = _third_party(error, resolved)
        if culprit is None:
            with blaming_exit(stage, "run"):
                raise
        stranger, location = culprit
        origin = f"{stranger.registration.distribution} {stranger.registration.version}"
        raise PluginError(
            f"{stranger.short_name} ({origin}) raised {error_text(error)}",
            location=location,
        ) from error
    return checked_result(stage, result)


def _third_party(error: BaseException, resolved: Resolved) -> tuple[Resolved, str] | None:
    """Returns the third-party component whose files raised an error, and the place in them.

    The innermost third-party frame decides. Frames below it may belong to pydantic, torch or halo
    itself, which only did what they were called for.
    """
    strangers = [stranger for stranger in resolved.all() if not _is_built_in(stranger)]
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        for stranger in strangers:
            if owns(stranger.component, frame.filename):
                return stranger, f"{frame.filename}:{frame.lineno}"
    return None


def _is_built_in(resolved: Resolved) -> bool:
    registration = resolved.registration
    return RESERVED[registration.kind].get(registration.name) == registration.distribution


def write_error(folder: Path, error: BaseException) -> None:
    """Writes a worker's error to a file for the controller."""
    trace = "".join(traceback.format_exception(error))
    record = error_record(error)
    told = {**record, "exit_code": exit_code_of(error), "traceback": trace}
    if (worker := this_worker(error)) is not None:
        told["worker"] = worker
    ERROR.write(folder, hide_known_in(told))


def read_error(folder: Path, exit_code: int) -> HaloError:
    """Returns the error that a worker wrote, or one that says how the worker ended."""
    record = ERROR.read(folder)
    if record is None:
        return WorkerError(_ended(exit_code), location=str(folder))
    worker = record.get("worker")
    if worker is not None and worker["signal"] is not None:
        return WorkerError(told_death(worker), location=str(folder))
    error = error_of(record, record.get("exit_code", exit_code))
    signal_number = -exit_code if exit_code < 0 else exit_code - 128
    follows = WorkerError if signal_number in (SIGINT, SIGTERM) else (WorkerError, Interrupted)
    if signal_number > 0 and isinstance(error, follows):
        # The error of another rank, which lost its connection to the killed one or was ended
        # because of it.
        return WorkerError(_ended(exit_code), location=str(folder))
    if isinstance(error, WorkerError):
        who = "" if worker is None else f" of {named(worker)}"
        at = f", at {worker['place']}" if worker is not None and worker["place"] else ""
        return WorkerError(
            f"internal error{who}: {error.message}{at}; the traceback is in {ERROR.name}",
            location=str(folder),
        )
    if isinstance(error, PluginError) and worker is not None:
        error.message = f"{error.message} (in {named(worker)})"
    return error


def _ended(exit_code: int) -> str:
    return f"a worker {how_ended(exit_code, by_launcher=True)}. {CONTINUE}"


__all__ = ["component_record", "execute", "read_error", "stage_done", "write_error", "write_stage"]
