"""A command that prints the final numbers of a run."""

from __future__ import annotations

import json
from pathlib import Path

import click

from halo_core import PathError, UserError


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--stage", help="Show only the stage with this id.")
def command(run: Path, stage: str | None) -> None:
    """Print the final numbers of each stage of the run in the folder RUN."""
    found = final_numbers(run)
    if stage and stage not in found:
        there = ", ".join(found) or "none"
        raise UserError(f"no finished stage {stage!r}; the finished ones: {there}")
    for name in [stage] if stage else found:
        numbers = ", ".join(f"{key} {value:g}" for key, value in found[name].items())
        click.echo(f"{name}: {numbers or 'no numbers'}")


# `halo check` calls the command with these arguments. RUN is a finished run with a stage kto.
command.examples = ["RUN", "RUN --stage kto"]  # type: ignore[attr-defined]


def final_numbers(run: Path) -> dict[str, dict[str, float]]:
    """Returns the final numbers of each stage that has ended, by the id of the stage.

    Raises:
        PathError: When the folder is not that of a run.
    """
    file = run / "events.jsonl"
    if not file.is_file():
        raise PathError("has no events.jsonl; give the folder of a run", location=str(run))
    found: dict[str, dict[str, float]] = {}
    with file.open(encoding="utf-8") as events:
        # The last line of a run that was killed may have no end.
        for event in (json.loads(line) for line in events if line.endswith("\n")):
            if event["type"] == "stage-ended":
                found[event["stage"]] = event["metrics"]
    return found
