"""Checks what a stage passes on of rows and samples in all their forms.

The rows are those of `MixedRows`, and some with other letters, blanks and code. A stage may choose
rows and make new ones, but what it takes from a row must be whole.
"""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from halo_core.errors import DataError, UserError
from halo_core.feedback import Feedback
from halo_core.guarded.stage_calls import (
    PROMISED,
    check_product,
    checked_result,
    feedback_given_of,
    feedback_wanted_of,
)
from halo_core.run.row_checks import checked_columns
from halo_core.stage import Stage, StageContext
from halo_core.testing.advice import advise, advised
from halo_core.testing.component import expect, must_not_raise
from halo_core.testing.options.option_refusals import or_refused
from halo_core.testing.rows import data_set
from halo_core.testing.stages.products import check_content
from halo_core.testing.stages.stage_alike_prompts import check_alike_prompts
from halo_core.testing.stages.stage_contents import COMPLETIONS
from halo_core.testing.stages.stage_counted import check_counted
from halo_core.testing.stages.stage_lines import Run, check_lines_of, lines_in
from halo_core.testing.stages.stage_rows import mixed_data
from halo_core.testing.stages.stage_samples import mixed_samples
from halo_core.testing.stages.stage_sides import OPT_OUT, check_sides
from halo_core.testing.stages.stage_whole_input import check_reads_all
from halo_core.workspace.records import FEEDBACK, SAMPLES

Row = Mapping[str, Any]

LONG_S = 6.0
"""Seconds of a run with these rows from which three more runs are left out."""

KINDS: Sequence[Feedback] = ("binary", "scored", "demonstration")
"""Kinds of rows that a stage gets besides pairs, if it does not say which one it wants."""

NOTHING = ("None", "null", "nan", "NaN")
"""Texts that a missing value becomes."""

FOREIGN = "A row of another stage, which nobody asked for."
"""The completion of a row in the folder of another stage."""


def check_stage_passed_on(stage: Stage, context: StageContext) -> None:
    """Runs a stage on rows and samples in all their forms, and compares what it writes.

    It does nothing for stages that make models or use one, or without options for data or samples.
    For samples and verdicts, see `check_lines_of`.

    Args:
        stage: The stage.
        context: Its inputs, whose rows and samples are replaced. Its folder is not used.

    Raises:
        AssertionError: When run() raises; when two different rows have one id, or a completion has
            both labels; when a row comes from another stage's folder or from an earlier run; when
            the beginning of a prompt, or letters or blanks of a completion are lost;
            when all good completions are called bad and all bad ones good, or a pair has two equal
            sides; when it does not read its input to the end (see `check_reads_all`), leaves out
            rows that it does not count, or fails with a single row (see `check_counted`); or when a
            row is not valid, also if no sample has a target.
        UserError: When the stage refuses the rows.
    """
    if stage.produces in ("samples", "verdicts"):
        _check_lines(stage, context)
    if stage.produces != "feedback":
        return
    with TemporaryDirectory() as name:
        folder = Path(name)
        inputs = mixed_samples(folder / "given", context, with_targets=True)
        if not context.data and inputs == context.inputs:
            return
        usual = _rows_of(stage, replace(context, folder=folder / "usual"))
        _leave_rows_in(folder / "other")
        data = mixed_data(folder, stage, context)
        own = replace(context, folder=folder / "own", data=data, inputs=inputs)
        begun = time.monotonic()
        rows = _rows_of(stage, own)
        is_quick = time.monotonic() - begun < LONG_S
        given = [dict(each[i]) for each in data.values() for i in range(len(each))]
        given += [*_sampled(inputs)]
        if inputs != context.inputs:
            _check_without_targets(stage, replace(own, folder=folder / "none"))
    _check_origin(stage, rows, usual, given)  # before the ids, which such rows may repeat
    _check_ids(stage, rows)
    _check_labels(stage, rows, given)
    check_sides(stage, rows, given)
    for number, row in enumerate(rows, start=1):
        _check_whole(stage, f"line {number} of {FEEDBACK.name}", row, given)
    if is_quick:
        check_reads_all(stage, context, partial(_rows_of, stage))
        check_counted(stage, context)
        check_alike_prompts(stage, context)


def _check_lines(stage: Stage, context: StageContext) -> None:
    if context.models:
        return  # It would answer, or score, more than a hundred prompts several times.
    with TemporaryDirectory() as name:
        folder = Path(name)
        inputs = mixed_samples(folder / "given", context, with_targets=True)
        if not context.data and inputs == context.inputs:
            return
        data = mixed_data(folder, stage, context)

        def run(own: StageContext) -> Sequence[Row]:
            kinds = sorted({each.feedback for each in own.data.values()})
            _run(stage, own, f"run() with {'/'.join(kinds)} rows in all their forms")
            check_content(stage, own.folder)
            return lines_in(stage, own.folder)

        check_lines_of(stage, replace(context, data=data, inputs=inputs), run)
        _check_kinds(stage, replace(context, inputs=inputs), folder, run)


def _check_kinds(stage: Stage, context: StageContext, folder: Path, run: Run) -> None:
    """Runs a stage with rows of each further kind that it takes, which is any if it names none."""
    wanted = feedback_wanted_of(stage)
    free = [option for option in context.data if option not in wanted]
    for kind in KINDS if free else ():
        place = folder / kind
        place.mkdir()
        data = dict(context.data)
        for option in free:
            data[option] = data_set(place, kind, [], name=f"empty-{option}")
        own = replace(context, data=data)
        with advised(), or_refused():  # Advice is about pairs.
            check_lines_of(stage, replace(own, data=mixed_data(place, stage, own)), run)


def _sampled(inputs: Mapping[str, Path]) -> Iterator[dict[str, Any]]:
    for place in inputs.values():
        if (place / SAMPLES.name).is_file():
            yield from (dict(each) for each in SAMPLES.read_finished(place / SAMPLES.name, None))


def _check_without_targets(stage: Stage, context: StageContext) -> None:
    """Runs a stage on samples without targets, which it may refuse with a message."""
    place = context.folder.with_name("no-targets")
    inputs = mixed_samples(place, context, with_targets=False)
    given = list(_sampled(inputs))
    try:
        rows = _rows_of(
            stage, replace(context, inputs=inputs), "run() with samples without targets"
        )
        for number, row in enumerate(rows, start=1):
            where = f"without targets, line {number} of {FEEDBACK.name}"
            _check_whole(stage, where, row, given)
    except AssertionError as error:
        if not isinstance(error.__cause__, UserError):
            raise


def _rows_of(
    stage: Stage, context: StageContext, doing: str = "run() with rows in all their forms"
) -> list[Row]:
    _run(stage, context, doing)
    text = (context.folder / PROMISED[stage.produces]).read_text("utf-8")
    rows: list[Row] = [json.loads(line) for line in text.split("\n") if line]
    feedback = feedback_given_of(stage)
    for number, row in enumerate(rows, start=1):
        try:
            checked_columns(feedback, row)
        except DataError as error:
            expect(False, stage, f"{doing} writes a wrong line {number}: {error.message}")
    return rows


def _run(stage: Stage, context: StageContext, doing: str) -> None:
    context.folder.mkdir()
    own = replace(context, cache=context.folder / "cache")
    with must_not_raise(stage, doing):
        checked_result(stage, stage.run(own))
        check_product(stage, own.folder)


def _leave_rows_in(folder: Path) -> None:
    """Makes the folder of another stage, with a row of feedback."""
    folder.mkdir()
    row: Any = {
        "prompt": [{"role": "user", "content": FOREIGN}],
        "completion": FOREIGN,
        "desirable": True,
        "text": FOREIGN,
    }
    FEEDBACK.write(folder / FEEDBACK.name, [row])


def _check_ids(stage: Stage, rows: Sequence[Row]) -> None:
    by_id: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        if row.get("id") is not None:
            by_id[str(row["id"])].add(json.dumps(row, sort_keys=True))
    twice = sorted(id_ for id_, contents in by_id.items() if len(contents) > 1)
    expect(
        not twice,
        stage,
        f"run() gives {len(twice)} ids to different rows, such as {twice[:1]}; give each row an id "
        "of its own, or none",
    )


def _check_labels(stage: Stage, rows: Sequence[Row], given: Sequence[Row]) -> None:
    both = sorted(_with_both_labels(rows) - _with_both_labels(given))
    expect(
        not both,
        stage,
        f"run() writes {len(both)} completions of one prompt as desirable and as undesirable, and "
        f"no input has one with both labels, such as {both[0][:80] if both else ''}. {OPT_OUT}",
    )


def _with_both_labels(rows: Sequence[Row]) -> set[str]:
    """Returns the completions, each with its prompt, that are desirable and undesirable."""
    labels: dict[str, set[Any]] = defaultdict(set)
    for row in rows:
        if "completion" in row and "desirable" in row:
            said = [row.get("prompt"), row["completion"], row.get("completion_fields")]
            labels[json.dumps(said, sort_keys=True)].add(row["desirable"])
    return {said for said, each in labels.items() if len(each) > 1}


def _check_origin(
    stage: Stage, rows: Sequence[Row], usual: Sequence[Row], given: Sequence[Row]
) -> None:
    written = {json.dumps(_without_id(row), sort_keys=True, ensure_ascii=False) for row in rows}
    foreign = [row for row in written if FOREIGN in row]
    expect(
        not foreign,
        stage,
        "run() writes a row of another stage's folder next to its own; read only what the options "
        "name (context.inputs and context.data)",
    )
    there = {_asked(row) for row in given}
    earlier = [
        row
        for row in usual
        if _asked(row) not in there
        and json.dumps(_without_id(row), sort_keys=True, ensure_ascii=False) in written
    ]
    expect(
        not earlier or not _asked(earlier[0]),
        stage,
        f"run() writes {len(earlier)} rows of an earlier run in this process, whose prompts are "
        "not in its inputs; keep nothing in a module or a class",
    )


def _check_whole(stage: Stage, place: str, row: Row, given: Sequence[Row]) -> None:
    same = [each for each in given if _asked(each) and _asked(each) == _asked(row)]
    if not same:
        return
    expect(
        any(_within(each["prompt"], row["prompt"]) for each in same),
        stage,
        f"{place} has the turns {[m['role'] for m in row['prompt']]} of a prompt with "
        f"{[m['role'] for m in same[0]['prompt']]}, so its beginning is lost. {OPT_OUT}",
    )
    if all(each.get("tools") for each in same) and not row.get("tools"):
        advise(
            stage,
            "run() writes rows without 'tools', which the rows that it reads have: the functions "
            "that a completion may call. Without them, a model sees another prompt",
        )
    known = [text for each in same for text in _completions(each)]
    for text in (row[name] for name in COMPLETIONS if isinstance(row.get(name), str)):
        if text in known:
            continue
        expect(
            text not in NOTHING,
            stage,
            f"{place} has the completion {text!r}, which no input has; is it a value that is "
            "missing, put into a text? Leave such a row out and count it",
        )
        cut = [each for each in known if not each.isascii() and _ascii(each) == _ascii(text)]
        expect(
            not cut or not text.isascii(),
            stage,
            f"{place} has the completion {text[:60]!r}, which lacks letters of {cut[:1]}; pass "
            f"texts on as they are. {OPT_OUT}",
        )
        expect(
            not text.strip() or text.strip() not in [each.strip() for each in known],
            stage,
            f"{place} has the completion {text[:60]!r}, which has other blanks at its ends than "
            f"the one that it reads; code and poems need them. {OPT_OUT}",
        )


def _completions(row: Row) -> Iterator[str]:
    names = (*COMPLETIONS, "target")
    yield from (row[name] for name in names if isinstance(row.get(name), str))
    yield from row.get("completions", ())


def _ascii(text: str) -> str:
    return "".join(each for each in text if each.isascii() and not each.isspace() and each != "?")


def _asked(row: Row) -> str:
    return str(row["prompt"][-1]["content"]) if row.get("prompt") else ""


def _within(part: Sequence[Row], whole: Sequence[Row]) -> bool:
    """Returns whether the texts of messages are all in others."""
    texts = "\n".join(str(message["content"]) for message in whole)
    return all(str(message["content"]).strip() in texts for message in part)


def _without_id(row: Row) -> Row:
    return {name: value for name, value in row.items() if name != "id"}


__all__ = ["check_stage_passed_on"]
