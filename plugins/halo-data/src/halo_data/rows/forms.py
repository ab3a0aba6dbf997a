"""The supported forms of rows, recognised by their columns."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from halo_core.completion import completion_in, scored_columns
from halo_core.errors import DataError
from halo_core.feedback import BESIDE, SHARED, Feedback, Message
from halo_data.rows.answers import (
    answer,
    answer_at,
    refuse_beside,
    scored_answers,
    shown_by,
    with_beside,
)
from halo_data.rows.dropped import (
    EMPTY_COMPLETION,
    EMPTY_PROMPT,
    EMPTY_TEXT,
    NO_ANSWER,
    NO_LABEL,
    WITHOUT_WEIGHT,
    Dropped,
    Row,
)
from halo_data.rows.foreign_forms import alpaca_eval, instruction, openai_preference
from halo_data.rows.groups import GROUP
from halo_data.rows.messages import prompt_messages, turns
from halo_data.rows.pairs import pair, pair_of_conversations, shared_prompt
from halo_data.rows.transcript import is_transcript, transcript_pair

Given = Mapping[str, Any]
"""A row as read."""


@dataclass(frozen=True)
class Form:
    """One way to write feedback as a row.

    Attributes:
        feedback: The kind of feedback.
        columns: The columns that a row must have. Other columns are ignored.
        read: Function that converts the row, with its ``file:line``, to halo's columns.
        also: Further columns that it reads if the row has them.
        rewrite: Function that returns the columns that `read` needs, from those of another
            program; None if the row has them.
        gives: For `rewrite`, the columns that each column of halo comes from.
    """

    feedback: Feedback
    columns: tuple[str, ...]
    read: Callable[[Given, str], Row | Dropped]
    also: tuple[str, ...] = ()
    rewrite: Callable[[Given, str], dict[str, Any]] | None = None
    gives: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Its columns as the option `form` names it: ``prompt + completion``."""
        return " + ".join(self.columns)

    def reading_also(self, column: str) -> Form:
        """Returns this form for a row in which a further column became a part of the messages."""
        gives = dict(self.gives or {name: (name,) for name in self.columns})
        first = next(name for name in ("messages", "prompt", "chosen") if name in gives)
        gives[first] = (column, *gives[first])
        return replace(self, also=(*self.also, column), gives=gives)


@dataclass(frozen=True)
class Record:
    """A row as read, with its origin.

    Attributes:
        id: Name of the row within its source.
        place: ``file:line`` or a similar place, for messages.
        given: The row's columns.
    """

    id: str
    place: str
    given: Given


def _paired(given: Given, place: str) -> Row | Dropped:
    prompt = prompt_messages(given["prompt"], "prompt", place)
    return _pair_after(prompt, given, place)


def _paired_after_messages(given: Given, place: str) -> Row | Dropped:
    return _pair_after(prompt_messages(given["messages"], "messages", place), given, place)


def _pair_after(prompt: list[Message], given: Given, place: str) -> Row | Dropped:
    chosen, rejected = (answer(given, side, prompt, place) for side in ("chosen", "rejected"))
    if isinstance(chosen, Dropped) or isinstance(rejected, Dropped):
        return WITHOUT_WEIGHT
    return pair(prompt, chosen, rejected)


def _paired_implicit(given: Given, place: str) -> Row | Dropped:
    chosen, rejected = given["chosen"], given["rejected"]
    if isinstance(chosen, str) and isinstance(rejected, str):
        refuse_beside(given, ("chosen", "rejected"), place)
        if is_transcript(chosen) and is_transcript(rejected):
            return transcript_pair(chosen, rejected)
        prompt, chosen, rejected = shared_prompt(chosen, rejected)
        return pair(prompt_messages(prompt, "chosen", place), chosen, rejected)
    sides = turns(chosen, "chosen", place), turns(rejected, "rejected", place)
    if not all(side[-1].learned for side in sides if side):
        return WITHOUT_WEIGHT
    made = pair_of_conversations(*([turn.message for turn in side] for side in sides))
    if isinstance(made, Dropped):
        return made
    both = (with_beside(completion_in(made, name), given, name, place) for name in SIDES)
    return pair(made["prompt"], *both)


SIDES = ("chosen", "rejected")


def _demonstration(given: Given, place: str) -> Row | Dropped:
    prompt = prompt_messages(given["prompt"], "prompt", place)
    completion = answer(given, "completion", prompt, place)
    return completion if isinstance(completion, Dropped) else shown_by(prompt, completion)


def _conversation(given: Given, place: str) -> Row | Dropped:
    spoken_turns = turns(given["messages"], "messages", place)
    if not spoken_turns or spoken_turns[-1].message["role"] != "assistant":
        return NO_ANSWER
    return answer_at(spoken_turns, len(spoken_turns) - 1, given, place)


def _labelled(
    read: Callable[[Given, str], Row | Dropped],
) -> Callable[[Given, str], Row | Dropped]:
    def read_with_label(given: Given, place: str) -> Row | Dropped:
        if given["label"] is None:
            return NO_LABEL
        row = read(given, place)
        return row if isinstance(row, Dropped) else {**row, "desirable": given["label"]}

    return read_with_label


def _scored(given: Given, place: str) -> Row | Dropped:
    prompt = prompt_messages(given["prompt"], "prompt", place)
    completions, scores = given["completions"], given["scores"]
    lists = isinstance(completions, list) and isinstance(scores, list)
    if not lists or len(completions) != len(scores):
        raise DataError(
            "columns 'completions' and 'scores' do not match; expected two lists of one length, "
            "texts or messages in the first and finite numbers in the second",
            location=place,
        )
    for number, score in enumerate(scores):
        if not _is_number(score):
            raise DataError(
                f"scores[{number}] is {json.dumps(score)}; expected a finite number: leave a "
                "completion that nobody scored out of both lists",
                location=place,
            )
    said = scored_answers(given, prompt, place)
    if not prompt:
        return EMPTY_PROMPT
    if isinstance(said, Dropped):
        return said
    if not said or any(each.is_empty for each in said):
        return EMPTY_COMPLETION
    return {"prompt": prompt, **scored_columns(said), "scores": [float(s) for s in scores]}


def _is_number(value: Any) -> bool:
    # A whole number of JSON can be too large for a float.
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and abs(value) <= sys.float_info.max


def _text(given: Given, place: str) -> Row | Dropped:
    text = given["text"]
    if not isinstance(text, str):
        raise DataError(f"column 'text' is {text!r}; expected text", location=place)
    return {"text": text} if text.strip() else EMPTY_TEXT


def _judged(given: Given, place: str) -> Row | Dropped:
    return given["undecided"] if "undecided" in given else _paired(given, place)


def _alpaca(
    feedback: Feedback, answers: tuple[str, ...], read: Callable[[Given, str], Row | Dropped]
) -> Form:
    ours = {name: {"output": "completion"}.get(name, name) for name in answers}
    return Form(
        feedback,
        ("instruction", *answers),
        read,
        also=ASKED,
        rewrite=instruction,
        gives={"prompt": ("instruction", *ASKED), **{ours[name]: (name,) for name in answers}},
    )


ASKED = ("input", "system", "history")
"""Columns of Alpaca's forms that add to the instruction."""


def _prompts(given: Given, place: str) -> Row | Dropped:
    prompt = prompt_messages(given["prompt"], "prompt", place)
    return {"prompt": prompt} if prompt else EMPTY_PROMPT


FORMS: tuple[Form, ...] = (
    Form("paired", ("prompt", "chosen", "rejected"), _paired),
    Form("paired", ("messages", "chosen", "rejected"), _paired_after_messages),
    Form("paired", ("chosen", "rejected"), _paired_implicit),
    Form("scored", ("prompt", "completions", "scores"), _scored),
    Form("binary", ("prompt", "completion", "label"), _labelled(_demonstration)),
    Form("demonstration", ("prompt", "completion"), _demonstration),
    Form("binary", ("messages", "label"), _labelled(_conversation)),
    Form("demonstration", ("messages",), _conversation),
    Form("text", ("text",), _text),
    _alpaca("paired", ("chosen", "rejected"), _paired),
    _alpaca("binary", ("output", "label"), _labelled(_demonstration)),
    _alpaca("demonstration", ("output",), _demonstration),
    Form(
        "paired",
        ("instruction", "output_1", "output_2", "preference"),
        _judged,
        also=("input",),
        rewrite=alpaca_eval,
        gives={
            "prompt": ("instruction", "input"),
            "chosen, rejected": ("output_1", "output_2", "preference"),
        },
    ),
    Form(
        "paired",
        ("input", "preferred_output", "non_preferred_output"),
        _paired,
        rewrite=openai_preference,
        gives={
            "prompt": ("input",),
            "chosen": ("preferred_output",),
            "rejected": ("non_preferred_output",),
        },
    ),
    Form("prompts", ("prompt",), _prompts),
    _alpaca("prompts", (), _prompts),
)
"""All forms. `recognise` chooses one. `prompt`, completions and messages may be text or messages.
Without a prompt column, the prompt is the shared start of the two sides."""

STANDARD_COLUMNS = frozenset(
    {column for form in FORMS for column in (*form.columns, *form.also)}
    | {GROUP, *SHARED}
    | {column for beside in BESIDE.values() for column in beside}
)
"""All columns that rows may have."""

SYNONYMS: Mapping[str, str] = {
    "conversations": "messages",
    "desirable": "label",
    "kto_tag": "label",
    "token_ids": "completion_token_ids",
    "token_logps": "completion_token_logps",
    "sampling_options": "completion_sampling",
}
"""Columns that replace another column if that one is absent."""


TEXTS = frozenset(
    {"prompt", "completion", "chosen", "rejected", "text", "instruction", "input", "output"}
    | {"output_1", "output_2"}
)
"""Standard columns that hold texts, and perhaps messages."""
LISTS = frozenset(
    {"messages", "completions", "scores", "tools", "history"}
    | {"preferred_output", "non_preferred_output"}
    | {
        column
        for beside in BESIDE.values()
        for column in (beside.fields, beside.token_ids, beside.token_logps, beside.sampling)
    }
    | {BESIDE["completions"].finish}
)
"""Standard columns that hold lists or objects."""


NULLABLE = ("label", "preference")
"""Columns in which null is a value: nobody gave a label or a preference."""


def standard(given: Given, columns: Mapping[str, str], place: str) -> Given:
    """Returns a row with standard column names, without columns that are null.

    Columns of `NULLABLE` stay.

    Args:
        given: The row as read.
        columns: The name in the row by standard name.
        place: ``file:line`` of the row.

    Raises:
        DataError: When the row lacks a column that `columns` names.
    """
    for ours, theirs in columns.items():
        if theirs not in given:
            raise DataError(
                f"no column {theirs!r}, which columns.{ours} names; the row has {listed(given)}",
                location=place,
            )
    taken = set(columns.values())
    row = {name: value for name, value in given.items() if name not in taken}
    row |= {ours: given[theirs] for ours, theirs in columns.items()}
    for theirs, ours in SYNONYMS.items():
        if theirs in row and row.get(ours) is None:
            row[ours] = row[theirs]
    # A table has each column in every row, so absent values are null.
    return {name: value for name, value in row.items() if value is not None or name in NULLABLE}


def listed(row: Iterable[str]) -> str:
    """Returns the names of a row's columns, for messages."""
    return ", ".join(repr(name) for name in row) or "(none)"
