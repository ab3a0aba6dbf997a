"""Checks whether a row matches its kind of feedback, and gives it its ids."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from typing import Any

from halo_core.completion import completion_in
from halo_core.errors import DataError
from halo_core.feedback import (
    COLUMNS,
    FINISHES,
    OPTIONAL_COLUMNS,
    ROLES,
    SAMPLING,
    Feedback,
    Prompt,
    further_fields,
    prompt_id,
)
from halo_core.guarded.blame import is_text
from halo_core.spec.data_sets import Source

TEXT_FIELDS = ("name", "tool_call_id", "reasoning_content", "thinking")
"""Names of further fields of a message that contain text."""

LARGEST_WHOLE = 2**53
"""Largest whole number up to which a float can be every whole number."""


def place_of(source: Source) -> str:
    """Returns a source and its split as errors name them."""
    return f"{source.resolved.short_name}, split {source.split!r}"


_BESIDE_ROWS = ("id", "prompt_id", "source", "split", "group", "v", "copy")
_SCORES = ("score", "chosen_score", "rejected_score")


def known_columns(feedback: Feedback) -> frozenset[str]:
    """Returns the columns that halo reads or writes in a row of this kind."""
    columns = {*COLUMNS[feedback], *OPTIONAL_COLUMNS[feedback], *_BESIDE_ROWS, *_SCORES}
    return frozenset(columns)


def is_empty(feedback: Feedback, row: Mapping[str, Any]) -> bool:
    """Returns whether one of a row's texts is blank, so that a model cannot learn from it.

    A completion that has only tool calls or thoughts is not blank.
    """
    if feedback == "text":
        return not row["text"].strip()
    names = [name for name, type_ in COLUMNS[feedback].items() if type_ == "string"]
    return any(completion_in(row, name).is_empty for name in names)


def checked_row(
    source: Source, feedback: Feedback, row: Mapping[str, Any], position: int
) -> dict[str, Any]:
    """Returns a row with only the columns of its feedback, its optional columns and its ids.

    Args:
        source: The row's source, for its id and for errors.
        feedback: The kind of feedback that the source declares.
        row: The row from the source.
        position: The row's position in the source, counted from 0.

    Raises:
        DataError: When a column is missing or has an invalid value.
    """
    name = source.resolved.short_name
    id_ = str(row.get("id") or f"{name}/{source.split}/{position}")
    checked: dict[str, Any] = {"id": id_, "source": name}
    try:
        checked |= checked_columns(feedback, row)
    except DataError as error:
        raise DataError(error.message, location=f"{place_of(source)}, row {id_}") from error
    checked["prompt_id"] = prompt_id(messages_of(checked), checked.get("tools"))
    return checked


def checked_columns(feedback: Feedback, row: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the columns of a row that belong to its kind of feedback, without nulls.

    Args:
        feedback: The kind of feedback that its source declares.
        row: The row from its source. Other columns are left out.

    Raises:
        DataError: When a column is missing or has an invalid value.
    """
    checked: dict[str, Any] = {}
    for column, type_ in COLUMNS[feedback].items():
        if column not in row:
            raise DataError(
                f"column {column!r} is missing; {feedback} feedback has "
                f"{', '.join(COLUMNS[feedback])}, the row has {', '.join(map(str, row))}"
            )
        checked[column] = _checked_value(column, type_, row[column])
    if feedback == "scored" and len(checked["scores"]) != len(checked["completions"]):
        raise DataError(
            f"column 'scores' has {len(checked['scores'])} values for "
            f"{len(checked['completions'])} completions; expected one score per completion"
        )
    for column, type_ in OPTIONAL_COLUMNS[feedback].items():
        if row.get(column) is None:
            continue
        value = _checked_value(column, type_, row[column])
        if type_.endswith(" list") and len(value) != len(row["completions"]):
            raise DataError(
                f"column {column!r} has {len(value)} values for {len(row['completions'])} "
                "completions; expected one value per completion, null if it is unknown"
            )
        if _says_something(value):
            checked[column] = value
    return checked


def messages_of(row: Mapping[str, Any]) -> Prompt:
    """Returns the prompt of a row. The prompt of raw text is the text."""
    if "prompt" not in row:
        return [{"role": "text", "content": row["text"]}]
    prompt: Prompt = row["prompt"]
    return prompt


def _says_something(value: Any) -> bool:
    """Returns whether an optional value says more than its absence. A list of nulls does not."""
    return any(item is not None for item in value) if isinstance(value, list) else bool(value)


def _checked_value(column: str, type_: str, value: Any) -> Any:
    if type_ == "messages":
        problem = _prompt_problem(value)
    elif type_.endswith(" list"):
        one = type_.removesuffix(" list")
        problem = _list_problem(one, value)
    else:
        problem = _problem(type_, value)
    if problem:
        raise DataError(f"column {column!r}: {problem}")
    if type_ == "messages":
        return [_plain(message) for message in value]
    if type_ == "fields":
        return without_nulls(value)
    if type_ == "fields list":
        return [without_nulls(item or {}) or None for item in value]
    return value


def _plain(message: Mapping[str, Any]) -> Mapping[str, Any]:
    """Returns a message with its further fields in a fixed order, without nulls."""
    return {"role": message["role"], "content": message["content"], **further_fields(message)}


def without_nulls(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Returns fields sorted by name, without those that are null."""
    return {name: fields[name] for name in sorted(fields) if fields[name] is not None}


def _problem(type_: str, value: Any) -> str | None:
    check, expected = _CHECKS[type_]
    return None if check(value) else f"got {_short(value)}; expected {expected}"


def _list_problem(type_: str, value: Any) -> str | None:
    if not isinstance(value, list):
        return f"got {_short(value)}; expected a list with one value per completion"
    return next((p for item in value if item is not None and (p := _problem(type_, item))), None)


def _all(value: Any, type_: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, type_) for item in value)


def _is_finite(value: Any) -> bool:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    # Arrow refuses larger whole numbers as floats, which would be rounded. NaN is not less.
    return abs(value) <= (LARGEST_WHOLE if isinstance(value, int) else sys.float_info.max)


def _are_scores(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_finite, value))


def _are_ids(value: Any) -> bool:
    return isinstance(value, list) and all(type(id_) is int and 0 <= id_ < 2**31 for id_ in value)


def _are_logps(value: Any) -> bool:
    # Rounding can put the log of a probability of 1 slightly above 0.
    return isinstance(value, list) and all(_is_finite(logp) and logp <= 1e-3 for logp in value)


def _is_sampling(value: Any) -> bool:
    if not isinstance(value, dict) or value.keys() != set(SAMPLING):
        return False
    if not all(_is_finite(value[name]) for name in SAMPLING):
        return False
    whole = type(value["top_k"]) is int and 0 <= value["top_k"] < 2**63
    return whole and value["temperature"] >= 0 and 0 < value["top_p"] <= 1


def _are_fields(value: Any) -> bool:
    return isinstance(value, dict) and not {"role", "content"} & value.keys() and _is_json(value)


def _is_json(value: Any) -> bool:
    try:
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError):
        return False
    return True


def _prompt_problem(value: Any) -> str | None:
    if not isinstance(value, list) or not value:
        return f"got {_short(value)}; expected a list of messages"
    for message in value:
        if not isinstance(message, dict) or not {"role", "content"} <= message.keys():
            return f"got the message {_short(message)}; expected {{role, content}}"
        if message["role"] not in ROLES or not is_text(message["content"]):
            return f"got the message {_short(message)}; roles are {', '.join(ROLES)}"
        if len(message) > 2 and (problem := _field_problem(message)):
            return f"got the message {_short(message)}; {problem}"
    if value[-1]["role"] == "assistant":
        return "the prompt ends with an assistant message; expected a user message"
    return None


def _field_problem(message: Mapping[str, Any]) -> str | None:
    for name, value in further_fields(message).items():
        if name in TEXT_FIELDS and not is_text(value):
            return f"its {name} is not a text"
        if name == "tool_calls" and not _all(value, dict):
            return "its tool_calls are not a list of objects"
        if not isinstance(name, str) or not _is_json({name: value}):
            return f"its {name} cannot be written as JSON"
    return None


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


_CHECKS: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "string": (is_text, "text"),
    "bool": (lambda v: isinstance(v, bool), "true or false"),
    "strings": (lambda v: _all(v, str) and all(map(is_text, v)), "a list of texts"),
    "floats": (_are_scores, "a list of finite numbers, whole ones up to 2^53"),
    "objects": (lambda v: _all(v, dict) and _is_json(v), "a list of JSON objects"),
    "fields": (_are_fields, "further fields of a message, as a JSON object"),
    "ids": (_are_ids, "a list of token ids: whole numbers from 0"),
    "finish": (lambda v: v in FINISHES, " or ".join(FINISHES)),
    "logps": (_are_logps, "a list of log-probabilities in nats: finite numbers, at most 0"),
    "sampling": (_is_sampling, f"an object with the numbers {', '.join(SAMPLING)}"),
}
"""The check of each type of column, and what the type expects."""
