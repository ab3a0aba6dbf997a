"""The supported forms of rows, recognised by their columns."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from halo_core.completion import completion_in, scored_columns
from halo_core.errors import DataError, nearest
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
    """

    feedback: Feedback
    columns: tuple[str, ...]
    read: Callable[[Given, str], Row | Dropped]


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
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _text(given: Given, place: str) -> Row | Dropped:
    text = given["text"]
    if not isinstance(text, str):
        raise DataError(f"column 'text' is {text!r}; expected text", location=place)
    return {"text": text} if text.strip() else EMPTY_TEXT


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
)
"""All forms. The first form whose columns a row has is used. `prompt`, completions and messages may
be text or messages. Without a prompt column, the prompt is the shared start of the two sides."""

STANDARD_COLUMNS = frozenset(
    {column for form in FORMS for column in form.columns}
    | {GROUP, *SHARED}
    | {column for beside in BESIDE.values() for column in beside}
)
"""All columns that rows may have."""

SYNONYMS: Mapping[str, str] = {
    "conversations": "messages",
    "desirable": "label",
    "token_ids": "completion_token_ids",
}
"""Columns that replace another column if that one is absent."""


TEXTS = frozenset({"prompt", "completion", "chosen", "rejected", "text"})
"""Standard columns that hold texts, and perhaps messages."""
LISTS = frozenset(
    {"messages", "completions", "scores", "tools"}
    | {column for fields, token_ids, _ in BESIDE.values() for column in (fields, token_ids)}
    | {BESIDE["completions"][2]}
)
"""Standard columns that hold lists or objects."""


def standard(given: Given, columns: Mapping[str, str], place: str) -> Given:
    """Returns a row with standard column names, without columns that are null.

    A `label` that is null stays.

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
                f"no column {theirs!r}, which columns.{ours} names; the row has {_list(given)}",
                location=place,
            )
    taken = set(columns.values())
    row = {name: value for name, value in given.items() if name not in taken}
    row |= {ours: given[theirs] for ours, theirs in columns.items()}
    for theirs, ours in SYNONYMS.items():
        if theirs in row and row.get(ours) is None:
            row[ours] = row[theirs]
    # A table has each column in every row, so absent values are null. A null label means that
    # nobody gave a label.
    return {name: value for name, value in row.items() if value is not None or name == "label"}


def recognise(row: Given, place: str) -> Form:
    """Returns the form of a row with standard names.

    Raises:
        DataError: When no form has its columns. The message names its columns and the nearest one.
    """
    for form in FORMS:
        if all(column in row for column in form.columns):
            return form
    forms = "; ".join(" + ".join(form.columns) for form in FORMS)
    raise DataError(
        f"the columns {_list(row)} are of no known form; expected {forms}.{_guess(row)} "
        "A column of another name is mapped with the option columns: {standard: theirs}",
        location=place,
    )


def _guess(row: Given) -> str:
    known = sorted({column for form in FORMS for column in form.columns})
    for name in row:
        near = nearest(name, [k for k in known if k not in row], cutoff=0.7)
        if name not in known and near:
            return f" Did you mean {near[0]!r} instead of {name!r}?"
    return ""


def _list(row: Given) -> str:
    return ", ".join(repr(name) for name in row) or "(none)"
