"""Commands that each break a rule, by their names. The value of `BREAKS` is the rule."""

from __future__ import annotations

import json
import os
import time
import traceback
from pathlib import Path
from typing import BinaryIO

import click

from halo_core import PathError, UserError


@click.command()
@click.option("--size", type=click.IntRange(min=1), help="Number of rows.")
def right(size: int) -> None:
    """Shows some rows."""
    click.echo(str(size))


@click.group()
def group() -> None:
    """Several commands."""


group.add_command(right)


@click.command()
@click.option("--size", type=int)
def no_help_of_an_option(size: int) -> None:
    """Shows some rows."""


@click.command()
def says_nothing() -> None:
    pass


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("words", nargs=-1, type=click.UNPROCESSED)
def takes_everything(words: tuple[str, ...]) -> None:
    """Shows some words."""


does_nothing = click.Command("nothing", help="Does nothing.")


class _Raises(click.Command):
    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        raise RuntimeError("no terminal")


@click.command(cls=_Raises)
def raises_in_help() -> None:
    """Shows some rows."""


class _Lists(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return ["gone"]


lists_what_is_gone = _Lists("lists", help="Several commands.")


@click.command()
@click.option("--size", type=int, help="Number of rows.")
def other_parameter(rows: int) -> None:
    """Shows some rows."""


@click.command()
@click.option("--size", type=int, help="Number of rows.")
def no_parameter() -> None:
    """Shows some rows."""


@click.command()
@click.option("--size", "--rows", type=int, help="Number of rows.")
@click.option("--rows", "-r", type=int, help="Number of rows.")
def one_name_twice(size: int, rows: int) -> None:
    """Shows some rows."""


def of_a_run(body):
    """Returns a command that reads a run with a function, and has the usual options."""

    @click.command(name=body.__name__)
    @click.argument("run", type=click.Path(path_type=Path))
    @click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
    def command(run: Path, as_json: bool) -> None:
        """Shows the stages of the run in the folder RUN."""
        body(run, as_json)

    return command


def stages_of(run: Path) -> list[str]:
    if not (run / "events.jsonl").is_file():
        raise PathError("has no events.jsonl; give the folder of a run", location=str(run))
    lines = (run / "events.jsonl").read_text("utf-8").splitlines(keepends=True)
    events = [json.loads(line) for line in lines if line.endswith("\n")]
    return [event["stage"] for event in events if event["type"] == "stage-ended"]


def show(stages: list[str], as_json: bool) -> None:
    click.echo(json.dumps({"stages": stages}) if as_json else "\n".join(stages))


@of_a_run
def shows_stages(run: Path, as_json: bool) -> None:
    show(stages_of(run), as_json)


@of_a_run
def draws_a_page(run: Path, as_json: bool) -> None:
    page = run / "stages.md"
    page.write_text("\n".join(stages_of(run)), "utf-8")
    show([str(page)], as_json)


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def asks_before(run: Path, yes: bool, as_json: bool) -> None:
    """Shows the stages of the run in the folder RUN."""
    stages = stages_of(run)
    if yes or click.confirm("Really?", abort=True):
        show(stages, as_json)


@click.command()
@click.argument("names", type=click.File("rb"), default="-")
@click.option("--workspace", default="./workspace", help="The workspace.")
def reads_the_workspace(names: BinaryIO, workspace: str) -> None:
    """Shows the runs of a workspace, but not those that are named on stdin."""
    others = names.read().decode().split()
    if not Path(workspace, "runs").is_dir():
        raise PathError("has no runs", location=workspace)
    runs = [each.name for each in Path(workspace, "runs").iterdir()]
    click.echo(" ".join(each for each in runs if each not in others))


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--password", prompt=True, hide_input=True, help="The password.")
def asks_for_an_option(run: Path, password: str) -> None:
    """Shows the stages of the run in the folder RUN."""
    show(stages_of(run), False)


@click.command()
@click.argument("place")
@click.option("--run", type=click.Path(path_type=Path), required=True, help="A run.")
def with_examples(place: str, run: Path) -> None:
    """Shows a stage."""
    click.echo(f"{place} {'kto' in stages_of(run)}")


with_examples.examples = ["there --run RUN", "'two words' --run=RUN"]


@click.command()
@click.argument("place")
def with_a_failing_example(place: str) -> None:
    """Shows a place."""
    raise PathError("is not there", location=place)


with_a_failing_example.examples = ["there"]


@click.command()
def with_odd_examples() -> None:
    """Shows nothing."""


with_odd_examples.examples = [["there"]]


@of_a_run
def takes_a_wrong_folder(run: Path, as_json: bool) -> None:
    show(stages_of(run) if (run / "events.jsonl").is_file() else ["no stages"], as_json)


@of_a_run
def breaks_at_a_wrong_folder(run: Path, as_json: bool) -> None:
    lines = (run / "events.jsonl").read_text("utf-8").splitlines(keepends=True)
    show([line for line in lines if line.endswith("\n")], as_json)


@of_a_run
def leaves_at_a_wrong_folder(run: Path, as_json: bool) -> None:
    if not run.is_dir():
        raise SystemExit(f"{run} does not exist")
    show(stages_of(run), as_json)


@of_a_run
def says_nothing_about_a_wrong_folder(run: Path, as_json: bool) -> None:
    if not (run / "events.jsonl").is_file():
        click.get_current_context().exit(2)
    show(stages_of(run), as_json)


@of_a_run
def prints_a_traceback(run: Path, as_json: bool) -> None:
    try:
        show(stages_of(run), as_json)
    except PathError:
        traceback.print_exc()
        click.get_current_context().exit(2)


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--stage", help="Show only this stage.")
@click.option("--most", type=click.IntRange(min=0), default=5, help="Number of stages.")
def knows_its_options(run: Path, stage: str | None, most: int) -> None:
    """Shows the stages of the run in the folder RUN."""
    stages = stages_of(run)[:most]
    if stage is not None and stage not in stages:
        raise UserError(f"no stage {stage!r}")
    show([stage] if stage else stages, False)


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--stage", help="Show only this stage.")
def breaks_at_another_stage(run: Path, stage: str | None) -> None:
    """Shows the stages of the run in the folder RUN."""
    stages = {each: each for each in stages_of(run)}
    show([stages[stage]] if stage else [*stages], False)


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--every", type=click.IntRange(min=0), default=2, help="Steps between stages.")
def breaks_at_zero(run: Path, every: int) -> None:
    """Shows the stages of the run in the folder RUN."""
    show(stages_of(run)[::every], False)


@of_a_run
def breaks(run: Path, as_json: bool) -> None:
    show([stages_of(run)[7]], as_json)


@of_a_run
def leaves(run: Path, as_json: bool) -> None:
    show(stages_of(run), as_json)
    raise SystemExit(0)


@of_a_run
def ends_its_process(run: Path, as_json: bool) -> None:
    show(stages_of(run), as_json)
    os._exit(0)


@of_a_run
def has_a_code_of_its_own(run: Path, as_json: bool) -> None:
    show(stages_of(run), as_json)
    click.get_current_context().exit(7)


@of_a_run
def fails_silently(run: Path, as_json: bool) -> None:
    stages_of(run)
    click.get_current_context().exit(1)


@of_a_run
def never_ends(run: Path, as_json: bool) -> None:
    stages_of(run)
    time.sleep(600)


@of_a_run
def asks_a_script(run: Path, as_json: bool) -> None:
    stages = stages_of(run)
    show(stages[: click.prompt("How many?", type=int)], as_json)


@of_a_run
def knows_no_json(run: Path, as_json: bool) -> None:
    show(stages_of(run), False)


@of_a_run
def prints_before_its_json(run: Path, as_json: bool) -> None:
    click.echo("reading")
    show(stages_of(run), as_json)


@of_a_run
def prints_two_objects(run: Path, as_json: bool) -> None:
    show(stages_of(run), as_json)
    show([], as_json)


@of_a_run
def prints_no_number(run: Path, as_json: bool) -> None:
    click.echo(json.dumps({"mean": float("nan")}) if stages_of(run) and as_json else "nan")


@of_a_run
def fails_with_json(run: Path, as_json: bool) -> None:
    show(set(stages_of(run)), as_json)


@of_a_run
def writes_into_the_run(run: Path, as_json: bool) -> None:
    show(stages_of(run), as_json)
    (run / "seen.json").write_text("{}", "utf-8")


@of_a_run
def changes_the_run(run: Path, as_json: bool) -> None:
    show([*stages_of(run), "spec.yaml"], as_json)
    (run / "spec.yaml").write_text("name: other", "utf-8")


@of_a_run
def writes_where_the_user_is(run: Path, as_json: bool) -> None:
    show(stages_of(run), as_json)
    Path("stages.log").write_text("called", "utf-8")


class _NeedsRoom(click.Command):
    def format_help_text(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        if formatter.width < 60:
            raise ValueError("too narrow")
        super().format_help_text(ctx, formatter)


@click.command(cls=_NeedsRoom)
def needs_a_wide_terminal() -> None:
    """Shows some rows."""


class _Thinks(click.Command):
    def get_help(self, ctx: click.Context) -> str:
        time.sleep(0.3)
        return super().get_help(ctx)


@click.command(cls=_Thinks)
def thinks_about_its_help() -> None:
    """Shows some rows."""


@click.group()
def group_of_nothing() -> None:
    """No commands."""


@click.command(context_settings={"allow_extra_args": True})
def takes_more_words() -> None:
    """Shows some rows."""


def with_option(*names, **settings):
    """Returns a command with one more option."""

    @click.command()
    @click.option(*names, "value", **{"help": "Number of rows.", **settings})
    def command(value: object) -> None:
        """Shows some rows."""

    return command


takes_the_name_of_help = with_option("-h", "--height")
gives_json_a_value = with_option("--json", help="File of the JSON.")
gives_debug_a_value = with_option("--debug", type=int, default=0)
is_always_on = with_option("--fast", is_flag=True, default=True)
can_be_turned_off = with_option("--fast/--slow", is_flag=True, default=True)
says_another_default = with_option("--most", default=5, help="Number of rows (default: 10).")
MOST = click.IntRange(min=1)
says_its_default = with_option("--most", type=MOST, default=5, help="Rows (default 5).")
says_a_word_like_default = with_option(
    "--most", type=MOST, default=5, help="By default 3.5kB are read."
)


@click.command()
@click.help_option("-h", "--help")
@click.option("--most", type=MOST, default=1000, help="Rows (default 1,000).")
@click.option("--share", type=click.FloatRange(0, 1), default=0.8, help="Share; default 80 %.")
@click.option("--age", type=MOST, default=180, help="Minutes. The default is 3 hours.")
def has_usual_options(most: int, share: float, age: int) -> None:
    """Shows some rows."""


says_it_is_optional = with_option("--most", required=True, help="Number of rows (optional).")
reads_home = with_option("--folder", envvar=["HALO_ROWS", "HOME"])


@click.command()
@click.option("--password", default="moo", help="The password.")
def has_a_known_password(password: str) -> None:
    """Shows some rows."""


@click.command()
@click.option("--up", "up", flag_value="up", default=True, help="Smallest first.")
@click.option("--down", "up", flag_value="down", help="Largest first.")
def has_two_switches(up: str) -> None:
    """Shows some rows."""


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--most", type=int, prompt=True, help="Number of stages.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def asks_for_an_option_of_json(run: Path, most: int, as_json: bool) -> None:
    """Shows the stages of the run in the folder RUN."""
    show(stages_of(run)[:most], as_json)


@of_a_run
def makes_the_folder(run: Path, as_json: bool) -> None:
    run.mkdir(exist_ok=True)
    show(stages_of(run), as_json)


@of_a_run
def works_until_the_end(run: Path, as_json: bool) -> None:
    stages = stages_of(run)
    while '"run-ended"' not in (run / "events.jsonl").read_text("utf-8"):
        pass
    show(stages, as_json)


@of_a_run
def wants_an_end(run: Path, as_json: bool) -> None:
    stages = stages_of(run)
    lines = (run / "events.jsonl").read_text("utf-8").splitlines()
    last = next(each for each in lines if '"run-ended"' in each)
    show([*stages, last[:1]], as_json)


@of_a_run
def prints_a_list(run: Path, as_json: bool) -> None:
    click.echo(json.dumps(stages_of(run)) if as_json else "")


@of_a_run
def divides_by_its_stages(run: Path, as_json: bool) -> None:
    stages = stages_of(run)
    show([*stages, str(1 / len(stages))], as_json)


@of_a_run
def leaves_out_the_encoding(run: Path, as_json: bool) -> None:
    show([*stages_of(run), str(len((run / "events.jsonl").read_text()))], as_json)


@of_a_run
def has_a_sentence_for_nothing(run: Path, as_json: bool) -> None:
    show(stages_of(run), as_json) if stages_of(run) else click.echo("no stage has ended")


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), help="Copy of the stages.")
def writes_into_no_folder(run: Path, out: Path | None) -> None:
    """Shows the stages of the run in the folder RUN."""
    show(stages_of(run), False)
    if out is not None:
        out.write_text("\n".join(stages_of(run)), "utf-8")
        click.echo(str(out))


BREAKS = {
    "has_a_sentence_for_nothing": "json",
    "writes_into_no_folder": "other-options",
    "prints_a_list": "json",
    "divides_by_its_stages": "wrong-run",
    "leaves_out_the_encoding": "calls",
    "needs_a_wide_terminal": "help",
    "thinks_about_its_help": "help",
    "group_of_nothing": "usage",
    "takes_more_words": "usage",
    "takes_the_name_of_help": "usage",
    "gives_json_a_value": "usage",
    "gives_debug_a_value": "usage",
    "is_always_on": "usage",
    "can_be_turned_off": "",
    "says_another_default": "usage",
    "says_its_default": "",
    "says_a_word_like_default": "",
    "has_usual_options": "",
    "says_it_is_optional": "usage",
    "reads_home": "usage",
    "has_a_known_password": "usage",
    "has_two_switches": "",
    "asks_for_an_option_of_json": "json",
    "makes_the_folder": "wrong-run",
    "works_until_the_end": "wrong-run",
    "wants_an_end": "wrong-run",
    "shows_stages": "",
    "draws_a_page": "",
    "asks_before": "",
    "with_examples": "",
    "reads_the_workspace": "",
    "asks_for_an_option": "",
    "with_a_failing_example": "calls",
    "with_odd_examples": "calls",
    "takes_a_wrong_folder": "wrong-run",
    "breaks_at_a_wrong_folder": "wrong-run",
    "leaves_at_a_wrong_folder": "wrong-run",
    "says_nothing_about_a_wrong_folder": "wrong-run",
    "prints_a_traceback": "wrong-run",
    "knows_its_options": "",
    "breaks_at_another_stage": "other-options",
    "breaks_at_zero": "other-options",
    "breaks": "calls",
    "leaves": "calls",
    "ends_its_process": "calls",
    "has_a_code_of_its_own": "calls",
    "fails_silently": "calls",
    "never_ends": "calls",
    "asks_a_script": "json",
    "knows_no_json": "json",
    "prints_before_its_json": "json",
    "prints_two_objects": "json",
    "prints_no_number": "json",
    "fails_with_json": "json",
    "writes_into_the_run": "writes",
    "changes_the_run": "writes",
    "writes_where_the_user_is": "writes",
    "right": "",
    "group": "",
    "no_help_of_an_option": "help",
    "says_nothing": "help",
    "raises_in_help": "help",
    "takes_everything": "usage",
    "does_nothing": "usage",
    "lists_what_is_gone": "help",
    "other_parameter": "usage",
    "no_parameter": "usage",
    "one_name_twice": "usage",
}
