"""Shows rows of a data set as the model of a stage will see them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

from halo_core.errors import HaloError, SpecErrors, UserError
from halo_core.guarded.stage_calls import view_rows_of
from halo_core.rows import DataSet, RowWriter
from halo_core.run.look_ahead import LookAhead, rows_at_hand
from halo_core.run.materialise import Rows
from halo_core.run.plan import Plan, PlannedStage
from halo_core.spec.stages import BASE_MODEL
from halo_core.stage import Inputs
from halo_core.token_view import Removed, TokenView

Paint = Callable[[str, str], str]
"""Function that returns a text in the colour of a part of a row."""


@dataclass(frozen=True)
class ViewedRows:
    """Rows of a set as a stage sees them.

    Attributes:
        stage: Id of the stage.
        tokenizer: Description of the tokenizer, for people.
        template: The origin of the chat template, for people; "" if no row needs one.
        rows: The rows.
    """

    stage: str
    tokenizer: str
    template: str
    rows: Sequence[TokenView]


def view_set(plan: Plan, name: str, count: int, stage_id: str | None) -> ViewedRows:
    """Returns the first rows of a set as a stage sees them.

    Args:
        plan: The plan of a run whose spec has the set.
        name: The name of the set.
        count: Maximum number of rows.
        stage_id: The stage's id; None for the first stage that reads the set and has a model.

    Raises:
        UserError: When no stage reads the set, its model is missing, or a row cannot be used.
    """
    readers = [
        (stage, option)
        for stage in plan.stages
        for option, data in stage.spec.data.items()
        if data.name == name and stage_id in (None, stage.id)
    ]
    if not readers:
        who = "no stage reads it" if stage_id is None else f"the stage {stage_id} does not read it"
        raise UserError(f"{who}, so no model sees its rows", location=f"data set {name!r}")
    rows = rows_at_hand(plan)
    with TemporaryDirectory() as folder:
        done = [stage.id for stage in plan.stages if stage.state == "done"]
        todo = [stage for stage in plan.stages if stage.id not in done]
        ahead = LookAhead(plan, todo, begins=False)
        # `halo plan` reports the mistakes of other stages. Here they only leave no sketch.
        with suppress(SpecErrors):
            ahead.check(rows, Path(folder))
        for number, (stage, option) in enumerate(readers):
            given = rows[stage.id].get(option)
            if given is None:
                continue
            file = Path(folder) / f"viewed-{number}.arrow"
            some = _first(name, given, count, file)
            inputs = ahead.inputs_of(stage, {option: some}, file.with_suffix(".sketch"))
            if views := _viewed(stage, option, inputs):
                template = next((view.template for view in views if view.template), "")
                return ViewedRows(stage.id, _whose(plan, inputs), template, views)
    raise UserError(
        "no model that sees its rows is available here; expected one in a folder, one that was "
        "already fetched from the hub, or one made by a stage that was run",
        location=f"data set {name!r}",
    )


def _first(name: str, rows: Sequence[Rows], count: int, file: Path) -> DataSet:
    whole = DataSet(name, rows[0].feedback, [source.file for source in rows])
    with RowWriter(file, whole.feedback) as writer:
        writer.write(list(islice(whole, count)))
    return DataSet(name, whole.feedback, [file])


def _viewed(stage: PlannedStage, option: str, inputs: Inputs) -> Sequence[TokenView]:
    try:
        return view_rows_of(stage.spec.component, option, inputs)
    except HaloError as error:
        error.location = f"stages.{stage.id}" + (f": {error.location}" if error.location else "")
        raise


def _whose(plan: Plan, inputs: Inputs) -> str:
    sources = [model for model in inputs.models.values() if model.digest]
    if sources:
        return f"the tokenizer of {sources[0].path}"
    first = plan.stages[0]
    # A stage that reads no rows trains no tokenizer, so it takes a finished one from elsewhere.
    if first.id == BASE_MODEL and not first.spec.data:
        return f"the tokenizer of the model that the stage {first.id} will make"
    return "a draft of the tokenizer that will be trained, which knows fewer words"


COLOURS = {"trained": "green", "undesirable": "red", "cut": "yellow", "cut text": "yellow"}
"""Colours of the parts of a row on a terminal. The prompt has none, because it is not trained."""

SHOWN = 300
"""Largest number of characters that are shown of a text that was cut."""


def marked(text: str, part: str) -> str:
    """Returns a text as it is shown without colours. A text that was cut has marks around it.

    >>> marked("Hello", "trained"), marked("Bye", "cut text")
    ('Hello', '[cut: Bye]')
    """
    return f"[cut: {text}]" if part == "cut text" else text


def view_lines(view: TokenView, paint: Paint = marked) -> Iterator[str]:
    """Yields lines for people about a row: texts with escapes, ids, trained and cut tokens.

    A text that was cut is shown at its place, in its colour or between marks.

    Args:
        view: The row.
        paint: Function that colours a text as one of `COLOURS`.
    """
    if view.prompt is None:
        yield paint(f"  {view.row}: dropped: {view.dropped}", "cut")
        return
    cut = paint(", its beginning was cut", "cut") if view.prompt_cut else ""
    yield f"  {view.row}: the prompt has {len(view.prompt.ids)} tokens{cut}"
    yield f"    {_prompt_text(view.prompt.text, view.removed, paint)}"
    yield f"    {_numbers(view.prompt.ids)}"
    for learned in view.completions:
        label = "" if learned.desirable else ", undesirable"
        if learned.score is not None:
            label += f", score {learned.score:g}"
        part = "trained" if learned.desirable else "undesirable"
        cut = paint(f", max_length cut {learned.cut} more", "cut") if learned.cut else ""
        yield f"  {learned.column}{label}: {len(learned.trained.ids)} tokens are trained{cut}"
        yield (
            f"    {paint(_escaped(learned.trained.text), part)}{_cut_text(learned.cut_off, paint)}"
        )
        yield f"    {_numbers(learned.trained.ids)}"
        for remark in learned.remarks:
            yield f"    note: such completions {remark}"


def _prompt_text(text: str, removed: Removed | None, paint: Paint) -> str:
    if removed is None:
        return _escaped(text)
    before, after = text[: removed.at], text[removed.at :]
    return f"{_escaped(before)}{_cut_text(removed.text, paint)}{_escaped(after)}"


def _cut_text(text: str, paint: Paint) -> str:
    if not text:
        return ""
    rest = len(text) - SHOWN
    more = f" ... and {rest} more characters" if rest > 0 else ""
    return paint(f"{_escaped(text[:SHOWN])}{more}", "cut text")


def _escaped(text: str) -> str:
    return repr(text)[1:-1]


def _numbers(ids: Sequence[int]) -> str:
    return " ".join(map(str, ids))
