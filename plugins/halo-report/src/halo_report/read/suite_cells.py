"""Reads the runs of a suite, or some runs side by side, as cells of a matrix."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from halo_core.errors import DataError, UserError
from halo_core.workspace.layout import Target
from halo_core.workspace.records import EVENTS, RUN, SUITE, SuiteCell
from halo_report.read.cell_matrix import JudgedCell, lengths_of
from halo_report.read.run_data import RunData, StageData, read_run
from halo_statistics.win_rate import win_rate

DONE = ("computed", "cached", "done")


@dataclass(frozen=True)
class SuiteCells:
    """The cells of a suite, in the order of its `suite.json`.

    Attributes:
        name: Name of the suite.
        axes: Names of the cells on each axis, in order.
        cells: Name on each axis and judged model of each cell.
        runs: The output of each cell's run; None without a run.
    """

    name: str
    axes: Mapping[str, Sequence[str]]
    cells: Sequence[tuple[Mapping[str, str], JudgedCell]]
    runs: Sequence[RunData | None] = ()


def read_suite(target: Target, judge_stage: str | None) -> SuiteCells:
    """Returns a suite's cells. Failed cells and cells that were not run are marked.

    Args:
        target: The suite.
        judge_stage: The judge stage to use; None for the last stage of each run.

    Raises:
        DataError: When its `suite.json` is invalid.
        UserError: When no run has the judge stage.
    """
    record = SUITE.read(target.folder)
    assert record is not None  # The suite was found by this file.
    pairs = [_suite_cell(entry, target, judge_stage) for entry in record["cells"]]
    _check_judge_stage(judge_stage, [cell for cell, _ in pairs])
    runs = [run for _, run in pairs]
    axes = [entry["axes"] for entry in record["cells"]]
    cells = list(zip(axes, [cell for cell, _ in pairs], strict=True))
    return SuiteCells(record["name"], record["axes"], cells, runs)


def _suite_cell(
    entry: SuiteCell, target: Target, judge_stage: str | None
) -> tuple[JudgedCell, RunData | None]:
    status, error, run = entry["status"], entry["error"], entry["run"]
    why = (error["message"] if error else None) or ""
    # If the suite lists the cell as done and its run is gone, the cell is missing, not failed.
    lacking = "missing" if status in DONE else status
    if run is None:
        return JudgedCell("", "", status=lacking, why=why), None
    folder = target.workspace / run
    if not any((folder / file.name).is_file() for file in (EVENTS, RUN)):
        why = why or f"no run in {folder}"
        return JudgedCell("", "", folder.name, status=lacking, why=why), None
    data = read_run(folder)
    if status in DONE and data.status == "running":
        raise DataError(
            f"does not contain the end of the run, but {SUITE.name} says that the cell "
            f"{entry['id']!r} is done. Run the same command again: halo run writes the events "
            "again",
            location=str(folder / EVENTS.name),
        )
    return run_cell(data, judge_stage, status, why), data


def read_runs(
    targets: Sequence[Target], judge_stage: str | None
) -> tuple[list[RunData], list[JudgedCell]]:
    """Returns the runs, and one cell per run with the name of its folder as its `x`.

    Raises:
        UserError: When no run has the judge stage.
    """
    runs = [read_run(target.folder) for target in targets]
    cells = [run_cell(run, judge_stage, run.status, run.error) for run in runs]
    _check_judge_stage(judge_stage, cells)
    return runs, cells


def run_cell(run: RunData, judge_stage: str | None, status: str, why: str) -> JudgedCell:
    """Returns a run as a cell. Its `x` is the run's name.

    Args:
        run: The output of the run.
        judge_stage: The judge stage to use; None for the last.
        status: Status of the run or cell.
        why: The error, or "".
    """
    judges = [s for s in run.stages if s.verdicts and judge_stage in (None, s.id)]
    # A part of the verdicts would give a win rate on other prompts than those of other cells.
    judge = judges[-1] if judges and judges[-1].ended else None
    trained = [stage for stage in run.stages if stage.product == "model" and stage.curves]
    verdicts = judge.verdicts if judge else ()
    state, reason = ("done", "") if judge else _absence(run, judge_stage, status, why)
    return JudgedCell(
        x=run.folder.name,
        series="",
        run=run.folder.name,
        status=state,
        why=reason,
        rate=win_rate(verdict["result"] for verdict in verdicts) if judge else None,
        results={verdict["prompt_id"]: verdict["result"] for verdict in verdicts},
        lengths=lengths_of(list(_tokens(run, judge))),
        trained=trained[-1] if trained else None,
        title=run.title,
        judge=judge,
    )


def _absence(run: RunData, judge_stage: str | None, status: str, why: str) -> tuple[str, str]:
    if status not in DONE:
        return status, why or run.error or run.unended
    wanted = f"no verdicts of a stage {judge_stage!r}" if judge_stage else "no verdicts"
    stages = ", ".join(stage.id for stage in run.stages) or "none"
    return "not judged", f"{wanted}; its stages: {stages}"


def _tokens(run: RunData, judge: StageData | None) -> Iterator[int]:
    """Yields the lengths of the judged completions, else of the last samples."""
    sampled = [stage for stage in run.stages if stage.samples and stage.ended]
    lines = judge.verdicts if judge else sampled[-1].samples if sampled else ()
    for line in lines:
        tokens = line.get("tokens")
        if tokens is not None:
            yield tokens


def _check_judge_stage(judge_stage: str | None, cells: Sequence[JudgedCell]) -> None:
    if judge_stage is not None and not any(cell.rate for cell in cells):
        raise UserError(
            f"no run has verdicts of a stage {judge_stage!r}; expected the id of a judge stage, as "
            "in the specs. Without the option each run's last one is taken",
            location="--judge-stage",
        )
