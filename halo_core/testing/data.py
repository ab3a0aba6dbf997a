"""Checks the promises of every data source: right rows, repeatable, with all drops counted."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Mapping
from typing import Any

from halo_core.completion import completion_in
from halo_core.data import DataInfo, DataSource
from halo_core.errors import DataError
from halo_core.feedback import BESIDE, COLUMNS, Feedback
from halo_core.run.row_checks import checked_columns
from halo_core.testing.component import check_component, check_rules, expect, must_not_raise


def check_data_source(source: DataSource, *, rows: int = 1000) -> None:
    """Runs `check_component` and `check_rows`.

    Args:
        source: A data source with its options. Its data must be available.
        rows: Maximum number of rows to read from each split, at least 1.

    Raises:
        AssertionError: At the first rule that is broken.
    """
    check_component(source)
    check_rules(source, {"rows": lambda each: check_rows(each, rows=rows)})


def check_rows(source: DataSource, *, rows: int = 1000) -> None:
    """Checks a source's description of itself, its rows, its counts of drops and its errors.

    Raises:
        AssertionError: When `inspect` is not repeatable or a split has no rows, when rows do not
            have the columns of their feedback or differ on the second reading, when drops are not
            counts, or when a split that does not exist does not raise a DataError.
    """
    with must_not_raise(source, "inspect()"):
        info, again = source.inspect(), source.inspect()
    expect(info == again, source, f"inspect() gives {info}, then {again}")
    feedback = _checked_feedback(source, info)
    for split in info.splits:
        _check_split(source, split, feedback, rows)
    _check_unknown_split(source, info)


def _checked_feedback(source: DataSource, info: DataInfo) -> Feedback:
    known = info.feedback is not None and len(info.splits) > 0
    expect(known, source, f"inspect() gives {info}; for this check its data must be available")
    expect(info.digest != "", source, "the digest is empty; expected one that names the content")
    for feedback in COLUMNS:
        if feedback == info.feedback:
            return feedback
    raise AssertionError(
        f"{source!r}: feedback is {info.feedback!r}; expected one of {', '.join(COLUMNS)}"
    )


def _check_split(source: DataSource, split: str, feedback: Feedback, limit: int) -> None:
    with must_not_raise(source, f"load({split!r})"):
        loaded = source.load(split)
        rows = [dict(row) for row in itertools.islice(loaded.rows, limit)]
        again = [dict(row) for row in itertools.islice(source.load(split).rows, limit)]
    expect(len(rows) > 0, source, f"load({split!r}) has no rows")
    expect(rows == again, source, f"load({split!r}) gives other rows when called again")
    for number, row in enumerate(rows):
        _check_row(source, f"row {number} of {split!r}", row, feedback)
    ids = Counter(row["id"] for row in rows if row.get("id"))
    twice = [id_ for id_, count in ids.items() if count > 1]
    expect(
        not twice,
        source,
        f"load({split!r}): {len(twice)} ids come more than once, such as {twice[:1]}; give each "
        "row its own id, or leave the ids out",
    )
    for reason, count in loaded.dropped.items():
        expect(
            isinstance(reason, str) and type(count) is int and count >= 0,
            source,
            f"load({split!r}): dropped has {reason!r}: {count!r}; expected a reason and a count",
        )


def _check_row(source: DataSource, where: str, row: Mapping[str, Any], feedback: Feedback) -> None:
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
    try:
        checked_columns(feedback, row)
    except DataError as error:
        expect(False, source, f"{where}: {error.message}")


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


def _check_unknown_split(source: DataSource, info: DataInfo) -> None:
    name = "no such split"
    try:
        list(source.load(name).rows)
    except DataError as error:
        expect(
            all(split in str(error) for split in info.splits),
            source,
            f"the error for an unknown split is {str(error)!r}; name the splits there are",
        )
        return
    except Exception as error:
        raise AssertionError(
            f"{source!r}: load({name!r}) raised {type(error).__name__}; expected a DataError"
        ) from error
    expect(False, source, f"load({name!r}) raised nothing; expected a DataError")
