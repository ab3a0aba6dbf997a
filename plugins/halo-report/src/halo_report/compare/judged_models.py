"""Finds the judged models that the arguments of `halo compare` name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from halo_core.errors import UserError
from halo_core.spec.mistakes import unknown_name
from halo_core.workspace.layout import Target, find
from halo_report.read.cell_matrix import JudgedCell
from halo_report.read.run_data import RunData, StageData, read_run
from halo_report.read.suite_cells import read_suite, run_cell


@dataclass(frozen=True)
class JudgedModel:
    """One judged model.

    Attributes:
        label: The model's name, which no other model has.
        run: The output of its run.
        judge: The judge stage that is used.
        cell: The counts, results by prompt and lengths of the model. Its `x` is the label.
    """

    label: str
    run: RunData
    judge: StageData
    cell: JudgedCell


@dataclass(frozen=True)
class JudgedModels:
    """The models that the arguments name.

    Attributes:
        models: Each model once, in the order of the arguments and of a suite's cells.
        left_out: One sentence for each cell of a suite without verdicts.
    """

    models: Sequence[JudgedModel]
    left_out: Sequence[str]


@dataclass(frozen=True)
class _NamedRun:
    """A run and judge stage as the arguments name them."""

    name: str
    run: RunData
    stage: str | None


def read_judged_models(
    names: Sequence[str], workspace: Path, judge_stage: str | None, confidence: float
) -> JudgedModels:
    """Returns the judged models that the arguments of the command name.

    Args:
        names: Runs and suites in the form that `halo_core.workspace.layout.find` accepts.
        workspace: The workspace that contains them.
        judge_stage: The judge stage for names without one; None for the last stage of each run.
        confidence: Confidence of every interval, in (0, 1).

    Raises:
        PathError: When there is no such run or suite.
        UserError: When a named run has no verdicts, or nothing is left to compare.
    """
    named: list[_NamedRun] = []
    left_out: list[str] = []
    for name in names:
        target = find(name, workspace, stages=True)
        if target.kind == "run":
            run = read_run(target.folder)
            name = run.title or run.folder.name
            named.append(_NamedRun(name, run, target.stage or judge_stage))
        elif target.stage is not None:
            raise UserError(
                f"{name!r} names a stage of a suite; expected a suite alone, and with it "
                f"--stage {target.stage}"
            )
        else:
            cells, lacking = _cells(target, judge_stage)
            named += cells
            left_out += lacking
    # A run may be named twice, by itself and as a cell of its suite. It is still one model.
    unique = {(run.run.folder, _judge_of(run).id): run for run in named}
    models = list(_labelled(list(unique.values()), confidence))
    if len(models) < 2:
        raise _too_few(models, left_out)
    return JudgedModels(models, left_out)


def baseline_of(name: str, models: Sequence[JudgedModel], workspace: Path) -> JudgedModel:
    """Returns the model that ``--baseline`` names, by its label or else by its run.

    Raises:
        UserError: When it names none of the models, or more than one.
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
            named.append(_NamedRun(run.title or id_, run, judge_stage))
    return named, lacking


def _judge_of(named: _NamedRun) -> StageData:
    """Returns the judge stage of a run.

    Raises:
        UserError: When the run has no verdicts of that stage.
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
        "stage {use: judge} to its spec, or continue the run",
        location=named.name,
    )


def _judges(run: RunData) -> list[StageData]:
    return [stage for stage in run.stages if stage.verdicts and stage.ended]


def _labelled(named: Sequence[_NamedRun], confidence: float) -> Iterator[JudgedModel]:
    """Yields the models. Models of the same run have the stage in their labels.

    If all are of one run, the stage alone is the label, because nothing else varies.
    """
    names = _run_labels(named)
    counts = Counter(named_run.run.folder for named_run in named)
    for named_run in named:
        run, judge = named_run.run, _judge_of(named_run)
        label = names[run.folder]
        if counts[run.folder] > 1:
            label = judge.id if len(counts) == 1 else f"{label}:{judge.id}"
        cell = run_cell(run, judge.id, run.status, run.error)
        assert cell.rate is not None
        # Stages have their own confidence; in the table all intervals use the command's.
        rate = replace(cell.rate, confidence=confidence)
        yield JudgedModel(label, run, judge, replace(cell, x=label, rate=rate))


def _run_labels(named: Sequence[_NamedRun]) -> dict[Path, str]:
    """Returns each run's label: its title if that is unique, else its folder."""
    titles = {named_run.run.folder: named_run.name for named_run in named}
    for labels in (titles, {folder: folder.name for folder in titles}):
        if len(set(labels.values())) == len(labels):
            return labels
    return {folder: str(folder) for folder in titles}


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
