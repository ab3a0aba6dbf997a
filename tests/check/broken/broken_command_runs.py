"""Commands that break a rule with certain runs. `BREAKS` has the rules by their names."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from halo_core import PathError

RUN = click.argument("run", type=click.Path(path_type=Path))


def told(run: Path, type_: str) -> Iterator[Mapping[str, Any]]:
    if not (run / "events.jsonl").is_file():
        raise PathError("has no events.jsonl; give the folder of a run", location=str(run))
    with (run / "events.jsonl").open(encoding="utf-8") as lines:
        events = [json.loads(line) for line in lines if line.endswith("\n")]
    return (event for event in events if event["type"] == type_)


def points(run: Path) -> dict[tuple[str, str], dict[Any, float]]:
    found: dict[tuple[str, str], dict[Any, float]] = {}
    for event in told(run, "metrics"):
        for name, value in event["metrics"].items():
            found.setdefault((event["stage"], name), {})[event["step"]] = value
    return found


@click.command()
@RUN
@click.option("--to", type=click.Path(path_type=Path), help="File to write.")
@click.option("--force", is_flag=True, help="Replace the file.")
def shows_curves(run: Path, to: Path | None, force: bool) -> None:
    """Shows the last point of each curve of the run in the folder RUN."""
    curves = points(run)
    text = "\n".join(f"{key} {curve[max(curve)]}" for key, curve in curves.items())
    if to is None:
        click.echo(text or "no curves")
        return
    if to.exists() and not force:
        raise PathError("exists; use --force", location=str(to))
    try:
        to.write_text(text, "utf-8")
    except OSError as error:
        raise PathError(f"cannot be written: {error.strerror}", location=str(to)) from error
    click.echo(f"wrote {to}")


shows_curves.examples = ["RUN --to curves.txt"]


@click.command()
@RUN
def shows_the_last_stage(run: Path) -> None:
    """Shows the last stage of the run in the folder RUN."""
    ended = [*told(run, "stage-ended")]
    click.echo(f"{ended[-1]['stage']} {ended[-1]['metrics']}" if ended else "no stage")


@click.command()
@RUN
def mixes_stages(run: Path) -> None:
    """Shows the last point of each curve of the run in the folder RUN."""
    curves: dict[str, dict[int, float]] = {}
    for (_, name), curve in points(run).items():
        curves.setdefault(name, {}).update(curve)
    click.echo(" ".join(f"{name} {curve[1]} {max(curve)}" for name, curve in curves.items()) or "0")


@click.command()
@RUN
def takes_nine_for_the_last(run: Path) -> None:
    """Shows the last point of each curve of the run in the folder RUN."""
    curves = points(run).items()
    click.echo("\n".join(f"{key} {curve[max(curve, key=str)]}" for key, curve in curves) or "none")


@click.command()
@RUN
def sorts_the_stages(run: Path) -> None:
    """Shows the stages with warnings of the run in the folder RUN."""
    click.echo(str(sorted({event["stage"] for event in told(run, "warning")})))


@click.command()
@RUN
def needs_a_metric(run: Path) -> None:
    """Shows the largest final number of the run in the folder RUN."""
    values = [value for event in told(run, "stage-ended") for value in event["metrics"].values()]
    click.echo(f"{max(values)}" if [*told(run, "stage-ended")] else "no stage")


@click.command()
@RUN
def reads_half_a_line(run: Path) -> None:
    """Counts the events of the run in the folder RUN."""
    if not (run / "events.jsonl").is_file():
        raise PathError("has no events.jsonl; give the folder of a run", location=str(run))
    click.echo(str(len([*map(json.loads, (run / "events.jsonl").open(encoding="utf-8"))])))


@click.command()
@RUN
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def hides_errors_in_json(run: Path, as_json: bool) -> None:
    """Counts the stages of the run in the folder RUN."""
    try:
        count = len([*told(run, "stage-ended")])
    except PathError as error:
        if not as_json:
            raise
        click.echo(json.dumps({"error": str(error)}))
        return
    click.echo(json.dumps({"stages": count}) if as_json else str(count))


@click.command()
@RUN
def looks_next_to_the_run(run: Path) -> None:
    """Counts the runs next to the run in the folder RUN."""
    list(told(run, "run-started"))
    if not (run.parent.parent / "runs").is_dir():
        raise PathError("is not in a workspace", location=str(run))
    click.echo("1")


@click.command()
@click.argument("first", type=click.Path(path_type=Path))
@click.argument("second", type=click.Path(path_type=Path))
def needs_the_same_curves(first: Path, second: Path) -> None:
    """Compares the runs FIRST and SECOND."""
    one, two = points(first), points(second)
    click.echo(str([max(curve) - max(two[key]) for key, curve in one.items()]))


needs_the_same_curves.examples = ["RUN RUN"]


@click.command()
@RUN
@click.option("--to", type=click.Path(path_type=Path), required=True, help="File to write.")
def writes_anywhere(run: Path, to: Path) -> None:
    """Writes the number of stages of the run in the folder RUN."""
    to.write_text(str(len([*told(run, "stage-ended")])), "utf-8")
    click.echo(f"wrote {to}")


writes_anywhere.examples = ["RUN --to count.txt"]


@click.command()
@RUN
@click.option("--to", type=click.Path(path_type=Path), required=True, help="File to write.")
@click.option("--force", is_flag=True, help="Replace the file.")
def replaces_a_file(run: Path, to: Path, force: bool) -> None:
    """Writes the number of stages of the run in the folder RUN."""
    try:
        to.write_text(str(len([*told(run, "stage-ended")])), "utf-8")
    except OSError as error:
        raise PathError("cannot be written", location=str(to)) from error
    click.echo(f"wrote {to}")


replaces_a_file.examples = ["RUN --to count.txt"]


@click.command()
@RUN
@click.option("--match", default="", help="Show only messages with this text.")
def takes_a_pattern(run: Path, match: str) -> None:
    """Shows the warnings of the run in the folder RUN."""
    found = [event["message"] for event in told(run, "warning")]
    click.echo("\n".join(each for each in found if re.search(match, each)) or "none")


@click.command()
@RUN
@click.option("--force", is_flag=True, help="Replace the file.")
def replaces_its_file(run: Path, force: bool) -> None:
    """Writes the number of stages of the run in the folder RUN to count.txt."""
    if force:
        Path("count.txt").unlink(missing_ok=True)
    Path("count.txt").write_text(str(len([*told(run, "stage-ended")])), "utf-8")
    click.echo("wrote count.txt")


@click.command()
@RUN
@click.option("--stage", default="", help="Show only this stage.")
def shows_one_stage(run: Path, stage: str) -> None:
    """Shows the last point of each curve of the run in the folder RUN."""
    curves = {key: curve for key, curve in points(run).items() if stage in (key[0], "")}
    click.echo("\n".join(f"{key} {curve[max(curve)]}" for key, curve in curves.items()) or "none")


@click.command()
@RUN
@click.option("--stage", default="", help="Show only this stage.")
def shows_alike_stages(run: Path, stage: str) -> None:
    """Shows the last point of each curve of the run in the folder RUN."""
    curves = {key: curve for key, curve in points(run).items() if stage in key[0]}
    click.echo("\n".join(f"{key} {curve[max(curve)]}" for key, curve in curves.items()) or "none")


@click.command()
@RUN
def sorts_steps_as_texts(run: Path) -> None:
    """Shows all points of each curve of the run in the folder RUN."""
    for (stage, name), curve in points(run).items():
        for step in sorted(curve, key=str):
            click.echo(f"{stage} {name} {step} {curve[step]}")


@click.command()
@RUN
def counts_what_is_not_there(run: Path) -> None:
    """Counts the events of the run in the folder RUN, also if there is no such folder."""
    count = sum(len(each.read_text("utf-8").splitlines()) for each in run.glob("events.jsonl"))
    click.echo(f"{count} events")


BREAKS = {
    "sorts_steps_as_texts": "numbers",
    "counts_what_is_not_there": "wrong-run",
    "shows_one_stage": "",
    "shows_alike_stages": "numbers",
    "replaces_its_file": "writes",
    "shows_curves": "",
    "shows_the_last_stage": "",
    "mixes_stages": "numbers",
    "takes_nine_for_the_last": "numbers",
    "sorts_the_stages": "calls",
    "looks_next_to_the_run": "calls",
    "needs_the_same_curves": "calls",
    "needs_a_metric": "wrong-run",
    "reads_half_a_line": "wrong-run",
    "hides_errors_in_json": "wrong-run",
    "writes_anywhere": "other-options",
    "takes_a_pattern": "other-options",
    "replaces_a_file": "writes",
}
