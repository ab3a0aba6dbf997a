"""`halo runs rm RUN...`: removes runs and what only they need."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from halo_core.cli.output import Output, output_options, workspace_option
from halo_core.cli.run_names import RunName
from halo_core.cli.runs.choice import choice_options
from halo_core.errors import HaloError, UserError
from halo_core.printing import counted

if TYPE_CHECKING:
    from halo_core.tidy.remove_runs import RemovalPlan

NOTHING_YET = "Nothing was removed. To remove it, add --yes"


@click.command()
@click.argument("runs", metavar="[RUN_OR_SUITE]...", nargs=-1, type=RunName())
@choice_options
@click.option(
    "--older-than",
    type=click.FloatRange(min=0),
    metavar="DAYS",
    help="Only runs whose last event is older than this number of days.",
)
@click.option("--yes", is_flag=True, help="Remove it. Without this option, it is only shown.")
@workspace_option
@output_options
def rm(
    runs: Sequence[str],
    states: Sequence[str],
    spec: str | None,
    older_than: float | None,
    yes: bool,
    workspace: str,
    output: Output,
) -> None:
    """Remove runs or suites, and what no other run needs.

    Their stages and rows are removed if no other run needs them. Name the runs, or choose them by
    --state, --spec and --older-than together. Without --yes, it shows what would be removed, and
    removes nothing. Trackers keep what they have; they may mark the run as deleted.
    """
    from halo_core.cli.runs.choice import Choice
    from halo_core.cli.runs.target import chosen_runs, removable
    from halo_core.tidy.remove_runs import plan_removal, remove_runs, with_cells

    by_choice = bool(states or spec or older_than is not None)
    if bool(runs) == by_choice:
        raise UserError(
            "expected either names of runs, or a choice with --state, --spec or --older-than",
            location="halo runs rm",
        )
    if by_choice:
        given = chosen_runs(workspace, Choice(tuple(states), spec), older_than or 0.0, output)
    else:
        given = [removable(run, workspace) for run in runs]
    if not given:
        output.emit({"removed": False, "runs": [], "suites": [], "folders": [], "bytes": 0})
        output.say("no run fits, so there is nothing to remove")
        return
    chosen = with_cells(given)
    if not yes:
        plan = plan_removal(chosen)
        _emit(plan, plan.sizes(), output, removed=False)
        _say(plan, plan.sizes(), output)
        output.say(f"\n{NOTHING_YET}")
        return
    sizes = plan_removal(chosen).sizes()
    with telling_the_rest(output):
        removed = remove_runs(chosen)
    fields = {"marked": removed.marked, "warnings": removed.warnings, "problems": removed.problems}
    output.attach(**fields)
    _emit(removed.plan, sizes, output, removed=True, **fields)
    for warning in removed.warnings:
        output.warn(warning)
    _say(removed.plan, sizes, output)
    for name, count in removed.marked.items():
        output.say(f"{name}: {count} marked as deleted")
    fail_if(removed.problems, output)
    output.say(f"removed, {_freed(sizes)} freed")


@contextmanager
def telling_the_rest(output: Output) -> Iterator[None]:
    """Says after Ctrl-C what becomes of a removal that is not finished."""
    try:
        yield
    except KeyboardInterrupt:
        output.warn(
            "the removal is not finished; the next halo runs rm or halo runs gc with --yes ends it"
        )
        raise


def _freed(sizes: Mapping[Path, int]) -> str:
    from halo_core.overview.sizes import size_text

    return size_text(sum(sizes.values()))


def fail_if(problems: Sequence[str], output: Output) -> None:
    """Prints the reasons why something could not be removed.

    Raises:
        HaloError: When there are any.
    """
    for problem in problems:
        output.warn(problem)
    if problems:
        raise HaloError(
            f"{len(problems)} files or folders could not be removed. The same command, or halo "
            "runs gc --yes, tries again"
        )


def _emit(
    plan: RemovalPlan, sizes: Mapping[Path, int], output: Output, *, removed: bool, **more: Any
) -> None:
    output.emit(
        {
            "removed": removed,
            "runs": [t.folder.name for t in plan.targets if t.kind == "run"],
            "suites": [t.folder.name for t in plan.targets if t.kind == "suite"],
            "folders": [{"path": str(f), "size": sizes.get(f, 0)} for f in plan.folders],
            "kept": [str(folder) for folder in plan.kept],
            "remarks": list(plan.remarks),
            "bytes": sum(sizes.get(folder, 0) for folder in plan.folders),
            **more,
        }
    )


def _say(plan: RemovalPlan, sizes: Mapping[Path, int], output: Output) -> None:
    from halo_core.cli.terminal import drawn, grid
    from halo_core.overview.sizes import size_text

    if output.json:
        return
    kinds = {
        "run": [t.folder for t in plan.targets if t.kind == "run"],
        "suite": [t.folder for t in plan.targets if t.kind == "suite"],
        "stage": list(plan.stages),
        "rows": list(plan.rows),
    }
    rows = [
        [kind, folder.name, size_text(sizes.get(folder, 0))]
        for kind, folders in kinds.items()
        for folder in folders
    ]
    total = sum(sizes.get(folder, 0) for folder in plan.folders)
    output.say(drawn(grid("", ["", "to remove", "size"], rows, texts=2)).rstrip("\n"))
    output.say(f"\n{size_text(total)} in all")
    if plan.kept:
        output.say(f"{counted(len(plan.kept), 'stage')} kept, because other runs need them")
    for remark in plan.remarks:
        output.say(remark)
