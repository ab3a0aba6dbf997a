"""Whether a row is what its feedback says, and which ids it gets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from halo_core.errors import DataError
from halo_core.feedback import COLUMNS, Feedback, prompt_id
from halo_core.guarded.blame import is_text
from halo_core.hashing import short_hash
from halo_core.spec.data_sets import Source

ROLES = ("system", "user", "assistant", "tool")


def place_of(source: Source) -> str:
    """Returns a source and its split, as errors name them."""
    return f"{source.resolved.short_name}, split {source.split!r}"


def group_id(row: Mapping[str, Any]) -> str | None:
    """Returns what names the group of a row, which stays on one side of a hold-out."""
    group = row.get("group")
    return short_hash(str(group)) if group is not None else None


def is_empty(feedback: Feedback, row: Mapping[str, Any]) -> bool:
    """Returns whether one of a row's texts is blank, so that nothing can be learned from it."""
    names = [name for name, type_ in COLUMNS[feedback].items() if type_ == "string"]
    return any(not row[name].strip() for name in names)


def checked_row(
    source: Source, feedback: Feedback, row: Mapping[str, Any], position: int
) -> dict[str, Any]:
    """Returns a row with exactly the columns of its feedback and its ids.

    Args:
        source: Where the row comes from, for its id and for errors.
        feedback: The kind that the source says its rows are.
        row: As the source gave it.
        position: Its place among the source's rows, counted from 0.

    Raises:
        DataError: When a column is missing or holds something else than it should.
    """
    name = source.resolved.short_name
    id_ = str(row.get("id") or f"{name}/{source.split}/{position}")
    checked: dict[str, Any] = {"id": id_, "source": source.resolved.short_name}
    for column, type_ in COLUMNS[feedback].items():
        if column not in row:
            raise DataError(
                f"column {column!r} is missing; {feedback} feedback has "
                f"{', '.join(COLUMNS[feedback])}, the row has {', '.join(map(str, row))}",
                location=f"{place_of(source)}, row {id_}",
            )
        problem = _problem(type_, row[column])
        if problem:
            raise DataError(
                f"column {column!r}: {problem}", location=f"{place_of(source)}, row {id_}"
            )
        checked[column] = row[column]
    prompt = checked.get("prompt", [{"role": "text", "content": checked.get("text", "")}])
    checked["prompt_id"] = prompt_id(prompt)
    return checked


def _problem(type_: str, value: Any) -> str | None:
    if type_ == "messages":
        return _prompt_problem(value)
    checks: Mapping[str, tuple[Callable[[Any], bool], str]] = {
        "string": (is_text, "text"),
        "bool": (lambda v: isinstance(v, bool), "true or false"),
        "strings": (lambda v: _all(v, str) and all(map(is_text, v)), "a list of texts"),
        "floats": (lambda v: _all(v, int | float), "a list of numbers"),
    }
    check, expected = checks[type_]
    return None if check(value) else f"got {_short(value)}; expected {expected}"


def _all(value: Any, type_: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, type_) for item in value)


def _prompt_problem(value: Any) -> str | None:
    if not isinstance(value, list) or not value:
        return f"got {_short(value)}; expected a list of messages"
    for message in value:
        if not isinstance(message, dict) or set(message) != {"role", "content"}:
            return f"got the message {_short(message)}; expected {{role, content}}"
        if message["role"] not in ROLES or not is_text(message["content"]):
            return f"got the message {_short(message)}; roles are {', '.join(ROLES)}"
    if value[-1]["role"] == "assistant":
        return "the prompt ends with an assistant's message; expected the user's"
    return None


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
