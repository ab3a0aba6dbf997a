"""What `halo compare` compares: the judged models that its arguments name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from halo_core.errors import UserError
from halo_core.spec.mistakes import unknown_name
from halo_core.workspace.layout import Target, find
from halo_core.workspace.records import RUN
from halo_report.read.cell_matrix import JudgedCell
from halo_report.read.run_data import RunData, StageData, read_run
from halo_report.read.suite_cells import read_suite, run_cell


@dataclass(frozen=True)
class JudgedModel:
    """One judged model.

    Attributes:
        label: What it is called: no two models are called the same.
        run: What its run left.
        judge: The judge stage that is taken.
        cell: Its counts, results by prompt and lengths; its `x` is the label.
    """

    label: str
    run: RunData
    judge: StageData
    cell: JudgedCell


@dataclass(frozen=True)
class JudgedModels:
    """What the arguments name.

    Attributes:
        models: In the order of the arguments, a suite's cells in their own; each once.
        left_out: A sentence for each cell of a suite that has no verdicts.
    """

    models: Sequence[JudgedModel]
    left_out: Sequence[str]


@dataclass(frozen=True)
class _NamedRun:
    """A run with the judge stage that was asked for, as the arguments call it."""

    name: str
    run: RunData
    stage: str | None


def read_judged_models(
    names: Sequence[str], workspace: Path, judge_stage: str | None, confidence: float
) -> JudgedModels:
    """Returns the judged models that the arguments of the command mean.

    Args:
        names: Runs and suites as `halo_core.workspace.layout.find` takes them.
        workspace: Where names are looked for.
        judge_stage: The judge stage where a name has none; None for the last of each run.
        confidence: Confidence of every interval, in (0, 1).

    Raises:
        PathError: When there is no such run or suite.
        UserError: When a run that was named has no verdicts, or nothing is left to compare.
    """
    named: list[_NamedRun] = []
    left_out: list[str] = []
    for name in names:
        target = find(name, workspace, stages=True)
        if target.kind == "run":
            label = _cell_id(target.folder) or target.folder.name
            named.append(_NamedRun(label, read_run(target.folder), target.stage or judge_stage))
        elif target.stage is not None:
            raise UserError(
                f"{name!r} names a stage of a suite; expected a suite alone, and with it "
                f"--stage {target.stage}"
            )
        else:
            cells, lacking = _cells(target, judge_stage)
            named += cells
            left_out += lacking
    # A run may be named twice, by itself and as a cell of its suite: it is one model all the same.
    unique = {(run.run.folder, _judge_of(run).id): run for run in named}
    models = list(_labelled(list(unique.values()), confidence))
    if len(models) < 2:
        raise _too_few(models, left_out)
    return JudgedModels(models, left_out)


def baseline_of(name: str, models: Sequence[JudgedModel], workspace: Path) -> JudgedModel:
    """Returns the model that ``--baseline`` means: by its label, else by its run.

    Raises:
        UserError: When it is none of the models, or more than one.
    """
    matches = [model for model in models if model.label == name]
    if not matches:
        target = find(name, workspace, stages=True)
        matches = [
            model
            for model in models
            if model.run.folder.resolve() == target.folder
            and target.stage in (None, model.judge.id)
        ]
    if len(matches) == 1:
        return matches[0]
    labels = [model.label for model in matches or models]
    known = ", ".join(labels)
    what = f"is {len(labels)} of the runs: {known}" if matches else f"is none of the runs: {known}"
    raise UserError(f"{name!r} {what}", location="--baseline")


def _cells(target: Target, judge_stage: str | None) -> tuple[list[_NamedRun], list[str]]:
    suite = read_suite(target, judge_stage)
    named, lacking = [], []
    for (axes, cell), run in zip(suite.cells, suite.runs, strict=True):
        id_ = "/".join(axes.values())
        if run is None or cell.rate is None:
            lacking.append(f"{id_}: {cell.status}{f': {cell.why}' if cell.why else ''}")
        else:
            named.append(_NamedRun(id_, run, judge_stage))
    return named, lacking


def _cell_id(run: Path) -> str:
    """Returns the cell of a suite that a run is, or ""."""
    record = RUN.read(run)
    cell = record.get("suite") if record else None
    return cell["cell"] if cell else ""


def _judge_of(named: _NamedRun) -> StageData:
    """Returns the judge stage of a run.

    Raises:
        UserError: When it has no verdicts of it.
    """
    judges = _judges(named.run)
    chosen = [stage for stage in judges if named.stage in (None, stage.id)]
    if chosen:
        return chosen[-1]
    if judges:
        assert named.stage is not None
        raise UserError(
            unknown_name("judge stage", named.stage, [stage.id for stage in judges]),
            location=named.name,
        )
    stages = ", ".join(f"{stage.id} ({stage.status})" for stage in named.run.stages) or "none"
    raise UserError(
        f"this run has no verdicts, so there is nothing to compare; its stages: {stages}. Add a "
        "stage {use: judge} to its spec, or go on with the run",
        location=named.name,
    )


def _judges(run: RunData) -> list[StageData]:
    return [stage for stage in run.stages if stage.verdicts and stage.ended]


def _labelled(named: Sequence[_NamedRun], confidence: float) -> Iterator[JudgedModel]:
    """Yields the models; the stage tells those of one run apart."""
    names = _run_labels(named)
    counts = Counter(named_run.run.folder for named_run in named)
    for named_run in named:
        run, judge = named_run.run, _judge_of(named_run)
        label = names[run.folder]
        if counts[run.folder] > 1:
            label = f"{label}:{judge.id}"
        cell = run_cell(run, judge.id, run.status, run.error)
        assert cell.rate is not None
        # The stage has its own confidence; in one table all intervals have the command's.
        rate = replace(cell.rate, confidence=confidence)
        yield JudgedModel(label, run, judge, replace(cell, x=label, rate=rate))


def _run_labels(named: Sequence[_NamedRun]) -> dict[Path, str]:
    """Returns what each run is called: by its cell where that is enough, else by its folder."""
    cells = {named_run.run.folder: named_run.name for named_run in named}
    for labels in (cells, {folder: folder.name for folder in cells}):
        if len(set(labels.values())) == len(labels):
            return labels
    return {folder: str(folder) for folder in cells}


def _too_few(models: Sequence[JudgedModel], left_out: Sequence[str]) -> UserError:
    if not models:
        reasons: Mapping[str, None] = dict.fromkeys(left_out)
        return UserError(f"no cell of the suite has verdicts; {'; '.join(reasons)}")
    (model,) = models
    run = model.run.folder.name
    judges = [f"{run}:{stage.id}" for stage in _judges(model.run)]
    more = f", or its judge stages: {' '.join(judges)}" if len(judges) > 1 else ""
    return UserError(
        f"one run is nothing to compare: {model.label}; expected two or more. Name another{more}"
    )
