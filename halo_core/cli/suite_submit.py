"""What `halo run --submit` does with a suite."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from halo_core.cli.output import Output
from halo_core.cli.spec_options import RunRequest, parse_overrides
from halo_core.cli.suite_plan import plan_lines
from halo_core.cli.terminal import table


def submit_suite(
    request: RunRequest,
    cluster: Literal["slurm", "local"],
    options: Sequence[str],
    output: Output,
) -> None:
    """Submits the cells of a suite as jobs, and tells their ids.

    Args:
        request: What is run.
        cluster: Where.
        options: ``NAME=VALUE`` of each job.
        output: Of the command.

    Raises:
        UserError: When jobs cannot be submitted.
    """
    from halo_core.suite.submit import submit
    from halo_core.tracking import shown_path

    parsed = _parse(options)
    plan = request.suite_plan()
    for line in plan_lines(plan):
        output.say(line)
    jobs = submit(plan, cluster, parsed)
    output.emit({"suite": plan.suite.name, "folder": str(plan.folder), "jobs": jobs})
    output.say()
    output.say(table(["cell", "job"], list(jobs.items())) if jobs else "Every cell is done.")
    output.say()
    output.say(f"What jobs say is in {shown_path(plan.folder / 'jobs')}. How far they are:")
    output.say(f"  halo plan {request.spec_file} --workspace {shown_path(plan.workspace.root)}")


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
