"""Writes a short run, or a suite of such runs, for checks of what reads them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from halo_core.events import EventLog
from halo_core.workspace.files import write_text
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


def make_run(workspace: Workspace, cell: str, *, done: bool = True) -> Path:
    """Returns the folder of a run with one finished stage, as the cell of a suite.

    Args:
        workspace: The workspace.
        cell: The id of the cell, one letter.
        done: Whether the run is over. Otherwise its last event is the metrics of step 1.
    """
    run = workspace.run(f"toy-{cell * 6}")
    for name in (SPEC, RESOLVED_SPEC):
        write_text(run / name, _SPEC)
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
    _write_events(EventLog(run / EVENTS.name), run.name, done=done)
    return run


def _write_events(log: EventLog, run: str, *, done: bool) -> None:
    stage = {"stage": "kto", "use": "train", "folder": _STAGE}
    files = {"spec": SPEC, "resolved": RESOLVED_SPEC}
    log.append("run-started", name="toy", run=run, **files, command=["halo"], stages=["kto"])
    log.append("stage-started", **stage, resumed=False)
    for step in (1, 2, 2):  # After a resume, a step comes twice.
        metrics = {"train/loss": 1 / step, "rewards/margins": 0.1 * step}
        log.append("metrics", stage="kto", step=step, metrics=metrics, examples=4 * step)
        if not done:
            return
    log.append("warning", stage="kto", message="the learning rate is high")
    metrics = {"loss": 0.5, "steps": 2.0}
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
