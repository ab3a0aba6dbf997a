"""Writes a short run, or a suite of such runs, for checks of what reads them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from halo_core.events import EventLog, read_events
from halo_core.workspace.files import append_lines, write_text
from halo_core.workspace.layout import Workspace
from halo_core.workspace.records import (
    EVENTS,
    RESOLVED_SPEC,
    RUN,
    SPEC,
    SUITE,
    SUITE_SPEC,
    RunCell,
    RunRecord,
    RunStage,
    SuiteCell,
    SuiteRecord,
)

_SPEC = "name: toy\nseed: 1\nstages:\n  kto: {use: train}\n"
_STAGE = "stages/train-0123456789abcdef"
_SUITE = "toy-abcdef"

STAGES = ("kto", "second")
"""The stages of a run with two stages."""


def make_run(workspace: Workspace, cell: str, *, done: bool = True, name: str = "") -> Path:
    """Returns the folder of a run with one finished stage, as the cell of a suite.

    Args:
        workspace: The workspace.
        cell: The id of the cell, one letter. Runs of other cells have other numbers.
        done: Whether the run is over. Otherwise its last event is the metrics of step 1.
        name: Its name, if it is not made from the cell.
    """
    run = workspace.run(name or f"toy-{cell * 6}")
    for file in (SPEC, RESOLVED_SPEC):
        write_text(run / file, _SPEC)
    stage = RunStage(id="kto", use="train", folder=_STAGE, key="0123", product="model", loss="kto")
    RUN.write(
        run,
        RunRecord(
            name=run.name,
            recipe="toy",
            suite=RunCell(folder=f"suites/{_SUITE}", cell=cell, axes={"method": cell}),
            seed=1,
            command=["halo", "run", "toy.yaml"],
            stages=[stage],
            data={},
            tracking=[],
            components=[],
            versions={},
        ),
    )
    _write_events(EventLog(run / EVENTS.name), run.name, done=done, shift=ord(cell) - ord("a"))
    return run


def _write_events(log: EventLog, run: str, *, done: bool, shift: int) -> None:
    stage = {"stage": "kto", "use": "train", "folder": _STAGE}
    files = {"spec": SPEC, "resolved": RESOLVED_SPEC}
    log.append("run-started", name="toy", run=run, **files, command=["halo"], stages=["kto"])
    log.append("stage-started", **stage, resumed=False)
    for step in (1, 2, 2):  # After a resume, a step comes twice.
        metrics = {"train/loss": 1 / step + shift, "rewards/margins": 0.1 * step + shift}
        log.append("metrics", stage="kto", step=step, metrics=metrics, examples=4 * step)
        if not done:
            return
    log.append("warning", stage="kto", message="the learning rate is high")
    metrics = {"loss": 0.5 + shift, "steps": 2.0}
    ended = {"product": "model", "status": "computed", "metrics": metrics, "headline": "learned"}
    log.append("stage-ended", **stage, **ended)
    log.append("run-ended", status="done", headline="learned", error=None)


def make_suite(workspace: Workspace, runs: Sequence[Path]) -> Path:
    """Returns the folder of a suite of two runs.

    Args:
        workspace: The workspace.
        runs: The folders of the runs.
    """
    suite = workspace.suite(_SUITE)
    write_text(suite / SUITE_SPEC, _SPEC)
    cells = [
        SuiteCell(
            id=cell,
            axes={"method": cell},
            run=workspace.relative(run),
            status="computed",
            error=None,
        )
        for cell, run in zip(("a", "b"), runs, strict=True)
    ]
    SUITE.write(suite, SuiteRecord(name="toy", axes={"method": ["a", "b"]}, cells=cells))
    return suite


def with_second_stage(run: Path) -> None:
    """Adds a second stage to a run that is over. Its metrics have the names of the first one's.

    Args:
        run: The folder of the run, as from `make_run`.
    """
    steps = [
        {"train/loss": 2 - step / 40, "rewards/margins": 0.3 * step % 1} for step in range(1, 31)
    ]
    _with_stage(run, "second", "f", steps, {"loss": 0.25, "steps": 30.0})


def with_equal_numbers(run: Path) -> None:
    """Adds a stage with eight metrics, of which four have one value and four another.

    Code that sorts by values, or goes through the names in the order of a set, may then give
    something else in another process.

    Args:
        run: The folder of the run, as from `make_run`.
    """
    names = ("accuracy", "bleu", "entropy", "grad_norm", "kl", "length", "margin", "wins")
    steps = [
        {f"eval/{name}": 0.5 * step + number % 2 for number, name in enumerate(names)}
        for step in range(1, 4)
    ]
    _with_stage(run, "equal", "e", steps, steps[-1])


def _with_stage(
    run: Path,
    id_: str,
    letter: str,
    steps: Sequence[Mapping[str, float]],
    metrics: Mapping[str, float],
) -> None:
    """Adds a stage before the end of a run. A letter makes the name of its folder another one."""
    lines = (run / EVENTS.name).read_text("utf-8").splitlines(keepends=True)
    (run / EVENTS.name).write_text("".join(lines[:-1]), "utf-8")
    log = EventLog(run / EVENTS.name)
    stage = {"stage": id_, "use": "train", "folder": _STAGE.replace("0", letter)}
    log.append("stage-started", **stage, resumed=False)
    for number, each in enumerate(steps, start=1):
        log.append("metrics", stage=id_, step=number, metrics=dict(each), examples=4 * number)
    ended = {"product": "model", "status": "computed", "headline": "learned more"}
    log.append("stage-ended", **stage, **ended, metrics=dict(metrics))
    log.append("run-ended", status="done", headline="learned more", error=None)


def fail_and_resume(log: EventLog, run: str, error: str) -> None:
    """Adds the end of a run that failed, and the beginning of the same run when it is resumed.

    Args:
        log: The events of the run.
        run: The name of its folder.
        error: The message of the error.
    """
    log.append("run-ended", status="failed", headline="failed", error=error)
    files = {"spec": SPEC, "resolved": RESOLVED_SPEC}
    log.append("run-started", name="toy", run=run, **files, command=["halo"], stages=["kto"])


def as_resumed(run: Path, *, ended: bool) -> None:
    """Makes a run that is over one that failed, was resumed, and has ended all of its stages.

    halo writes the reports of a run before it adds the end of the run to the events. So the last
    end of a run among the events is then that of the first attempt.

    Args:
        run: The folder of the run, as from `make_run`.
        ended: Whether the end of the run is among its events.
    """
    file = run / EVENTS.name
    lines = file.read_text("utf-8").splitlines(keepends=True)
    begun = next(n for n, line in enumerate(lines, start=1) if '"metrics"' in line)
    file.write_text("".join(lines[:begun]), "utf-8")
    log = EventLog(file)
    fail_and_resume(log, run.name, "the machine was switched off")
    log.append("stage-started", stage="kto", use="train", folder=_STAGE, resumed=True)
    with file.open("a", encoding="utf-8") as events:
        events.writelines(lines[begun:] if ended else lines[begun:-1])


def with_rare_events(run: Path) -> None:
    """Adds a warning of no stage, and an event of a later version, to a run that is over.

    Args:
        run: The folder of the run, as from `make_run`.
    """
    file = run / EVENTS.name
    lines = file.read_text("utf-8").splitlines(keepends=True)
    file.write_text("".join(lines[:-1]), "utf-8")
    log = EventLog(file)
    log.append("warning", stage=None, message="the disk is almost full,\u2028and slow")
    log.append("type-of-a-later-version", thing=["unknown"])
    with file.open("a", encoding="utf-8") as events:
        events.write(lines[-1])


def without_numbers(run: Path) -> None:
    """Takes all metrics out of the events of a run, as of a run whose stages have none.

    Args:
        run: The folder of the run, as from `make_run`.
    """
    file = run / EVENTS.name
    told = [dict(event) for event, _ in read_events(file) if event["type"] != "metrics"]
    file.unlink()
    left = [{**event, "metrics": {}} if "metrics" in event else event for event in told]
    append_lines(file, left, escaped=True)


def with_other_numbers(run: Path, events: str, stage: str) -> str:
    """Returns the events of a run as they would be with other metrics of one stage.

    Args:
        run: The folder of the run, whose events are replaced.
        events: The events.
        stage: The stage.
    """
    file = run / EVENTS.name
    file.write_text(events, "utf-8")
    told = [event for event, _ in read_events(file)]
    file.unlink()
    log = EventLog(file)
    for event in told:
        fields = {name: value for name, value in event.items() if name not in ("v", "type")}
        if event.get("stage") == stage and "metrics" in event:
            # Neither the order of the numbers nor their ratios stay the same.
            fields["metrics"] = {n: 7.25 - 3 * value**2 for n, value in event["metrics"].items()}
        log.append(event["type"], **fields)
    return file.read_text("utf-8")
