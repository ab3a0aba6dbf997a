"""Checks single rows of a data source, and advises on what all of them have in common."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from halo_core.completion import completion_in
from halo_core.data import DataSource
from halo_core.errors import DataError
from halo_core.feedback import BESIDE, COLUMNS, Feedback
from halo_core.run.row_checks import checked_columns
from halo_core.testing.advice import advise
from halo_core.testing.component import expect


def check_row(source: DataSource, where: str, row: Mapping[str, Any], feedback: Feedback) -> None:
    """Checks that a row has the columns of its kind of feedback, with values of their types.

    Args:
        source: The source.
        where: The row, for the message.
        row: The row.
        feedback: The kind of feedback.

    Raises:
        AssertionError: When it does not.
    """
    for column, kind in COLUMNS[feedback].items():
        expect(column in row, source, f"{where} has no {column!r}; {feedback} feedback needs it")
        value = row[column]
        expect(_is(kind, value), source, f"{where}: {column!r} is {value!r}; expected {kind}")
        said = column in BESIDE and kind == "string" and not completion_in(row, column).is_empty
        expect(
            kind == "bool" or said or len(value) > 0,
            source,
            f"{where}: {column!r} is empty; drop the row and count it",
        )
    if feedback == "scored":
        expect(
            len(row["completions"]) == len(row["scores"]),
            source,
            f"{where} has {len(row['completions'])} completions and {len(row['scores'])} scores",
        )
    if feedback == "paired":
        expect(
            completion_in(row, "chosen").key != completion_in(row, "rejected").key,
            source,
            f"{where}: chosen and rejected are the same, {row['chosen']!r}; drop the row and count "
            "it, because it teaches nothing",
        )
    group = row.get("group")
    expect(
        group is None or isinstance(group, str) or type(group) is int,
        source,
        f"{where}: 'group' is {group!r}; expected a text or a whole number, which a hold-out reads",
    )
    marked = next((text for text in _texts_of(row) if text.startswith(MARK)), None)
    expect(
        marked is None,
        source,
        f"{where}: a text begins with the byte order mark of a file, {(marked or '')[:20]!r}; read "
        "the file with encoding='utf-8-sig', which leaves it out",
    )
    try:
        checked_columns(feedback, row)
    except DataError as error:
        expect(False, source, f"{where}: {error.message}")


MARK = "\ufeff"
"""The first character of some files, which says that they are UTF-8."""


def _texts_of(row: Mapping[str, Any]) -> Iterator[str]:
    yield from (value for value in row.values() if isinstance(value, str))
    yield from (message["content"] for message in row.get("prompt", ()))
    yield from row.get("completions", ())


def _is(kind: str, value: object) -> bool:
    if kind == "string":
        return isinstance(value, str)
    if kind == "bool":
        return isinstance(value, bool)
    if not isinstance(value, list | tuple):
        return False
    if kind == "messages":
        return all(_is_message(message) for message in value)
    return all(isinstance(item, str if kind == "strings" else float) for item in value)


def _is_message(message: object) -> bool:
    return (
        isinstance(message, Mapping)
        and isinstance(message.get("role"), str)
        and isinstance(message.get("content"), str)
    )


FEW = 10
"""Number of rows of a split from which advice about all of them makes sense."""


def advise_rows(source: DataSource, contents: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    """Advises if all rows of a split are of one group, or if no prompt has a turn of the user.

    Args:
        source: The source.
        contents: Rows by split.
    """
    for split, rows in contents.items():
        groups = {row.get("group") for row in rows}
        if len(rows) >= FEW and len(groups) == 1 and groups != {None}:
            advise(
                source,
                f"all {len(rows)} rows of {split!r} have the group {rows[0]['group']!r}. A "
                "hold-out never separates a group, so it would stop; a group is what belongs "
                "together, such as the rows of one thread",
            )
        roles = {message["role"] for row in rows for message in row.get("prompt", ())}
        if roles and not roles & {"user", "tool"}:
            advise(
                source,
                f"the prompts of {split!r} have only turns of {', '.join(sorted(roles))}; a "
                "question has the role 'user'",
            )


__all__ = ["advise_rows", "check_row"]
