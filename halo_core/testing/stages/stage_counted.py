"""Checks that a stage counts the rows that it leaves out, and works if few rows are left."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from halo_core.events import EventLog, read_events
from halo_core.guarded.stage_calls import PROMISED, check_product, checked_result
from halo_core.stage import Stage, StageContext
from halo_core.testing.advice import advised, repeat
from halo_core.testing.component import expect, must_not_raise
from halo_core.testing.options.option_refusals import or_refused
from halo_core.testing.stages.products import check_content, results_in
from halo_core.testing.stages.stage_numbered_rows import (
    Numbered,
    has_single_input,
    prompt_of,
    usual,
    with_numbered,
)
from halo_core.testing.stages.stage_sides import OPT_OUT
from halo_core.workspace.records import EVENTS

USUAL = 13
"""Number of usual rows, and of further ones. It is a prime: few options are a divisor of it."""

FURTHER: Mapping[str, tuple[str, str]] = {
    "very short texts": ("Moo {}", "Hm {}"),
    "a long text": ("The cow number {} says moo. " * 400, "No, {}."),
    "letters of another script": ("Корова {} говорит му.", "Утка {} молчит."),
}
"""Kinds of rows that a stage may leave out: a good and a bad text, with the number of the row."""

ONE_ROW: Mapping[str, tuple[str, str]] = {
    "a single row": ("There is a cow, and it says moo.", "I counted goats, and no cow."),
    "a single row of very short texts": ("a", "b"),
}


class Ran(NamedTuple):
    """The output and the numbers of a run.

    Attributes:
        rows: The lines of its output in order of their letters. The first one is empty.
        told: Its metrics, headline and events.
    """

    rows: Sequence[str]
    told: str


def check_counted(stage: Stage, context: StageContext) -> None:
    """Runs a stage with further rows, of which each must leave a trace, and with a single row.

    A stage with more than one input is left out, and for the further rows one with an option that
    may be a number of rows.

    Args:
        stage: A stage that makes feedback.
        context: Its inputs, whose rows and samples are replaced. Its folder is not used.

    Raises:
        AssertionError: When further rows change neither the output nor a number, the headline or an
            event; when of two rows of each prompt only one is kept, and nothing says so; or when a
            single row makes the stage fail with another error than one of halo.
    """
    if not has_single_input(context):
        return
    with TemporaryDirectory() as name:
        for what, texts in ONE_ROW.items():
            with or_refused():
                ran(stage, context, Path(name), f"run() with {what}", [Numbered(0, *texts)])
        _check_traces(stage, context, Path(name))
        _advise_on_none(stage, context, Path(name))


def _advise_on_none(stage: Stage, context: StageContext, folder: Path) -> None:
    """Advises if a stage fails without samples. halo gives no stage data without rows."""
    if context.data:
        return
    try:
        with or_refused():
            ran(stage, context, folder, "run() with a file without samples", [])
    except AssertionError as error:
        repeat(
            f"{error}; another stage may have left out all of them. Raise a UserError that says "
            "so, or write no rows"
        )


def _check_traces(stage: Stage, context: StageContext, folder: Path) -> None:
    first = [*map(usual, range(USUAL))]
    before = ran(stage, context, folder, "run()", first)
    if before.rows == [""] or _may_be_full(stage, len(before.rows) - 1):
        return
    for what, texts in FURTHER.items():
        numbers = range(USUAL, 2 * USUAL)
        good, bad = texts
        more = [Numbered(n, good.replace("{}", str(n)), bad.replace("{}", str(n))) for n in numbers]
        after = ran(stage, context, folder, f"run() with {what}", [*first, *more])
        expect(
            before != after,
            stage,
            f"{USUAL} further rows with {what} change neither the rows that run() writes nor a "
            "metric, the headline or an event, so nobody learns that they are left out. Count them "
            f"in a metric, such as 'left_out'. {OPT_OUT}",
        )
    if context.data and len(before.rows) == USUAL + 1:
        _check_same_prompts(stage, context, folder, before)


def _check_same_prompts(stage: Stage, context: StageContext, folder: Path, before: Ran) -> None:
    """Checks further rows of the same prompts, for a stage that keeps all rows of other prompts."""
    rows = [usual(number) for number in range(2 * USUAL)]
    asked = [one._replace(turns=prompt_of(one.number % USUAL)) for one in rows]
    after = ran(stage, context, folder, "run() with two rows of each prompt", asked)
    expect(
        len(after.rows) != len(before.rows) or after.told != before.told,
        stage,
        f"it keeps {USUAL} rows of different prompts, and of two rows of each prompt only one, and "
        "no metric, headline or event says so. Are rows collected by their prompts? Keep all, or "
        f"count those that are left out in a metric. {OPT_OUT}",
    )


def _may_be_full(stage: Stage, count: int) -> bool:
    """Returns whether an option may be a limit that the usual rows already reach."""
    values = [getattr(stage, name) for name in type(stage).model_fields]
    numbers = [v for v in values if isinstance(v, int) and not isinstance(v, bool)]
    return any(number == count or (number > 1 and count % number == 0) for number in numbers)


def ran(
    stage: Stage,
    context: StageContext,
    folder: Path,
    doing: str,
    asked: Sequence[Numbered],
) -> Ran:
    """Runs a stage with a single input.

    Args:
        stage: The stage.
        context: Its inputs, whose rows or samples are replaced.
        folder: A folder for temporary ones.
        doing: Words for messages.
        asked: The rows.
    """
    with TemporaryDirectory(dir=folder) as name:
        place = Path(name)
        own = replace(
            with_numbered(context, place, asked),
            folder=place / "stage",
            cache=place / "cache",
            events=EventLog(place / EVENTS.name),
        )
        own.folder.mkdir()
        with must_not_raise(stage, doing):
            result = checked_result(stage, stage.run(own))
            check_product(stage, own.folder)
        with advised():  # Advice is about the usual rows.
            check_content(stage, own.folder)
        text = (own.folder / PROMISED[stage.produces]).read_text("utf-8")
        said = [results_in(result.metrics), result.headline, list(_events(place / EVENTS.name))]
        return Ran(sorted(text.split("\n")), json.dumps(said, default=str))


def _events(file: Path) -> Iterator[Mapping[str, Any]]:
    if file.is_file():
        for event, _ in read_events(file):
            yield {name: value for name, value in event.items() if name not in ("time", "crc")}


__all__ = ["check_counted", "ran"]
