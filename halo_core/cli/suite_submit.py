"""What `halo run --submit` does with a suite."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from halo_core.cli.output import Output
from halo_core.cli.spec_options import parse_overrides
from halo_core.cli.suite_plan import plan_lines
from halo_core.cli.table import table


def submit_suite(
    path: Path,
    overrides: Mapping[str, str],
    workspace: str,
    cells: Sequence[str],
    cluster: Literal["slurm", "local"],
    options: Sequence[str],
    output: Output,
) -> None:
    """Submits the cells of a suite as jobs, and tells their ids.

    Args:
        path: The suite's file.
        overrides: From ``--set``.
        workspace: The workspace's folder.
        cells: The cells to run; all when empty.
        cluster: Where.
        options: ``NAME=VALUE`` of each job.
        output: Of the command.

    Raises:
        UserError: When jobs cannot be submitted.
    """
    from halo_core.spec.suite import load_suite
    from halo_core.suite.plan import make_suite_plan
    from halo_core.suite.submit import submit
    from halo_core.tracking import shown_path
    from halo_core.workspace.layout import open_workspace

    parsed = _parse(options)
    suite = load_suite(path, overrides, only=cells)
    plan = make_suite_plan(suite, open_workspace(workspace))
    for line in plan_lines(plan):
        output.say(line)
    jobs = submit(plan, cluster, parsed)
    output.emit({"suite": suite.name, "folder": str(plan.folder), "jobs": jobs})
    output.say()
    output.say(table(["cell", "job"], list(jobs.items())) if jobs else "Every cell is done.")
    output.say()
    output.say(f"What jobs say is in {shown_path(plan.folder / 'jobs')}. How far they are:")
    output.say(f"  halo plan {path} --workspace {shown_path(plan.workspace.root)}")


def _parse(options: Sequence[str]) -> dict[str, Any]:
    from halo_core.errors import UserError
    from halo_core.spec.document import parse_value

    found = {}
    for name, text in parse_overrides(options).items():
        value = parse_value(text)
        if not isinstance(value, str | int | float | bool):
            raise UserError(
                f"got {text!r}; expected a text or number", location=f"--submit-option {name}"
            )
        found[name] = value
    return found
