"""`halo label`: creates feedback from samples or a file with a judge."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from math import isfinite, nan
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import click

from halo_core.cli.local_path import LocalPath
from halo_core.cli.output import Output, output_options, workspace_option
from halo_core.errors import UserError
from halo_core.printing import counted, say, warn
from halo_judge.command.choices import check_writable

if TYPE_CHECKING:
    from halo_core.judge import Judge
    from halo_core.spec.resolved import Resolved
    from halo_core.stage import StageResult
    from halo_judge.command.label_sources import Sources
    from halo_judge.label_stage.options import Label

BUSY = "the same is being labelled by another process; wait for it"


def _options(command: Callable[..., None]) -> Callable[..., None]:
    options = (
        click.option("--judge", required=True, metavar="JUDGE", help="The judge that labels: a "
                     "name, or '{use: NAME, ...options}'."),
        click.option("--set", "overrides", multiple=True, metavar="PATH=VALUE",
                     help="Set an option of the judge, as in --set judge.url=http://... "
                     "Repeatable."),
        click.option("--of", metavar="SAMPLES", type=LocalPath(), help="A file of outputs, the "
                     "folder of a sampling stage, or RUN:STAGE."),
        click.option("--against", metavar="SAMPLES", type=LocalPath(), help="With --of, further "
                     "samples to label, or 'target': the completion that the data have for "
                     "the prompt."),
        click.option("--data", metavar="FILE", type=LocalPath(), help="Instead of --of, a file of "
                     "completions in a form that the source jsonl reads."),
        click.option("--ignore-column", "ignored", multiple=True, metavar="NAME", help="With "
                     "--data, a column to ignore, such as a rating that people gave. Repeatable."),
        click.option("--feedback", type=click.Choice(["binary", "paired", "scored"]),
                     default="binary", show_default=True, help="Kind of feedback."),
        click.option("--threshold", metavar="NUMBER|median", help="For binary feedback, the score "
                     "at which a completion is desirable."),
        click.option("--desirable", type=click.Choice(["above", "below"]), default="above",
                     show_default=True, help="Side of the threshold with the good scores."),
        click.option("--margin", type=click.FloatRange(0), default=0.0, help="Leave out scores "
                     "closer to the threshold than this, and pairs with a smaller difference."),
        click.option("--unfinished", type=click.Choice(["keep", "drop", "undesirable"]),
                     default="keep", show_default=True, help="How to treat completions that were "
                     "cut at the maximum length."),
        click.option("--out", required=True, metavar="FILE", type=LocalPath(), help="The .jsonl "
                     "file to write the feedback to."),
    )  # fmt: skip
    for option in reversed(options):
        command = option(command)
    return command


@click.command()
@_options
@workspace_option
@output_options
def label(
    judge: str,
    overrides: Sequence[str],
    of: str | None,
    against: str | None,
    data: str | None,
    ignored: Sequence[str],
    feedback: Literal["binary", "paired", "scored"],
    threshold: str | None,
    desirable: Literal["above", "below"],
    margin: float,
    unfinished: Literal["keep", "drop", "undesirable"],
    out: str,
    workspace: str,
    output: Output,
) -> None:
    """Turn completions into binary, paired or scored feedback with a judge.

    After Ctrl-C, the judge's results are kept, and the same command continues.

    \b
    halo label --judge longest --of samples.jsonl --threshold median --out labels.jsonl
    halo label --judge '{use: python, function: "file:./judge.py:score"}' \\
        --data completions.jsonl --threshold 0.5 --out labels.jsonl
    """  # noqa: D301 (click wants the backspace itself before a paragraph not to be wrapped)
    from halo_core.cli.options import component_given
    from halo_core.workspace.layout import open_workspace
    from halo_judge.command.label_sources import find_sources
    from halo_judge.label_stage.options import Label

    resolved = component_given("judge", judge, option="--judge", overrides=overrides)
    stage = Label(
        judge=cast("Judge", resolved.component),
        feedback=feedback,
        of=of,
        against=against,
        data=data,
        threshold=_threshold(threshold),
        desirable=desirable,
        margin=_finite(margin, str(margin), "--margin", "a finite number"),
        unfinished=unfinished,
    )
    _check(stage, out)
    if ignored and data is None:
        raise UserError("has no effect without --data; leave it out", location="--ignore-column")
    sources = find_sources(stage, open_workspace(workspace), Path(out), ignored)
    _check_not_foreign(Path(out))
    check_writable(Path(out).absolute().parent, out)  # Before a judge is paid.
    for line in sources.notes:
        say(line, err=True)
    result, counts, file = _run(stage, resolved, sources, Path(out))
    output.emit({"out": str(file), **result.metrics, **counts})
    output.say(result.headline)
    output.say(f"{file}: {{use: jsonl, path: {out}}} reads it")


def _prepare(folder: Path) -> None:
    """Writes the completions of the examples, which `halo check` calls."""
    lines = [{"prompt": "What does a cow say?", "completion": "moo " * n} for n in range(1, 4)]
    text = "".join(f"{json.dumps(line)}\n" for line in lines)
    (folder / "completions.jsonl").write_text(text, "utf-8")


_EXAMPLE = "--judge longest --data completions.jsonl --threshold median --out labels.jsonl"
label.prepare = _prepare  # type: ignore[attr-defined]
label.examples = [_EXAMPLE, f"{_EXAMPLE} --json"]  # type: ignore[attr-defined]
label.unchecked_rules = {  # type: ignore[attr-defined]
    "writes": "the workspace keeps what the judge said, so that the same command continues"
}


def _threshold(text: str | None) -> float | Literal["median"] | None:
    if text is None or text == "median":
        return cast(Literal["median"] | None, text)
    try:
        number = float(text)
    except ValueError:
        number = nan
    return _finite(number, repr(text), "--threshold", "a number or median")


def _finite(number: float, came: str, option: str, expected: str) -> float:
    if not isfinite(number):
        raise UserError(f"got {came}; expected {expected}", location=option)
    return number


def _check(stage: Label, out: str) -> None:
    for option, message in stage.mistakes():
        raise UserError(re.sub(r"`(\w+)`", r"--\1", message), location=f"--{option}")
    if not out.endswith(".jsonl"):
        raise UserError(f"got {out}; expected a file that ends in .jsonl", location="--out")


def _check_not_foreign(out: Path) -> None:
    """Refuses to overwrite a file that this command has not written."""
    try:
        if out.stat().st_size == 0:
            return
        with out.open(encoding="utf-8") as file:
            is_own = _is_feedback(file.readline())
    except OSError:
        return  # It does not exist, or writing it will fail with a reason.
    except (ValueError, RecursionError):
        is_own = False
    if not is_own:
        raise UserError(
            "this file exists, and halo label did not write it, so it is not overwritten; name a "
            "new file",
            location=f"--out {out}",
        )


def _is_feedback(line: str) -> bool:
    """Returns whether the first line of a file is a row of this command.

    Raises:
        ValueError: When it is not JSON.
        RecursionError: When it is nested too deeply.
    """
    row = json.loads(line)
    return isinstance(row, dict) and {"v", "id", "prompt"} <= row.keys()


def _run(
    stage: Label, judge: Resolved, sources: Sources, out: Path
) -> tuple[StageResult, dict[str, Any], Path]:
    """Labels in a workspace folder whose name depends on the judge and the sources.

    A process with another threshold writes its feedback to the same folder, so the folder stays
    locked until this feedback is copied.
    """
    from halo_core.cli.terminal import stopping
    from halo_core.display.board import Board
    from halo_core.display.surfaces import surface_for_stderr
    from halo_core.stage import StopFlag
    from halo_core.workspace.lock import locked

    stop = StopFlag()
    folder = sources.folder(judge)
    folder.mkdir(parents=True, exist_ok=True)
    board = Board(surface_for_stderr())
    context = sources.context(folder, stop, board)
    try:
        with locked(folder, BUSY), board.shown(), stopping(stop):
            result = stage.label(context, where="halo label", again="the same command")
            return result, _counts(folder), _write(folder, out)
    except KeyboardInterrupt:
        stop.raise_interrupted("run the same command again to continue from what was saved")
        raise


def _counts(folder: Path) -> dict[str, Any]:
    """Returns the kind of feedback, and the numbers of left-out completions by reason."""
    from halo_core.workspace.files import read_json
    from halo_judge.label_stage.label_samples import COUNTS

    counts: dict[str, Any] = read_json(folder / COUNTS)
    return counts


def _write(folder: Path, out: Path) -> Path:
    from halo_core.workspace.files import write_text
    from halo_core.workspace.records import FEEDBACK

    rows = (folder / FEEDBACK.name).read_text(encoding="utf-8")
    try:
        before = out.read_text(encoding="utf-8", errors="replace") if out.is_file() else ""
        write_text(out, rows)
    except OSError as error:
        raise UserError(f"cannot be written: {error.strerror}", location=f"--out {out}") from None
    if before not in ("", rows):
        warn(f"{out}: {counted(before.count(chr(10)), 'earlier row')} replaced by other rows")
    return out.resolve()
