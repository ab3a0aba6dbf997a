"""Checks what a source does with equal and negative numbers, and with empty texts in a database."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from halo_core.data import DataSource
from halo_core.errors import UserError, error_text
from halo_core.feedback import COLUMNS
from halo_core.option_fields import values_by_alias
from halo_core.testing.advice import advise
from halo_core.testing.component import expect
from halo_core.testing.data.compared_labels import check_labels
from halo_core.testing.data.edited_records import (
    Change,
    NotPossibleError,
    Records,
    Rows,
    as_number,
    edited_records,
    unchanged,
)
from halo_core.testing.data.source_rows import check_row

LIKED = re.compile(r"vote|score|karma|points|rating|stars|reward|grade", re.IGNORECASE)
"""Names of columns whose larger numbers mean better answers, and which may be negative."""

NAMES = re.compile(r"(^|_)(id|key|index|number|no)$|^id", re.IGNORECASE)
"""Names of columns of numbers that name something."""

LEAST = 3
"""Number of pairs, or of records, from which they say something."""

MANY = 3
"""A column is used if at least a third of its texts are in rows."""

TEXTS = 3
"""Number of columns of texts that are made empty."""


def check_records(source: DataSource) -> None:
    """Checks a source whose files have columns of numbers, or are databases.

    The values are changed in copies. If the larger number of a column decides which side of a pair
    is chosen, no pair is left if all numbers are equal, and the same sides are chosen if all are
    smaller. Labels are compared, too (`check_labels`). In a database, texts become empty or null.

    Args:
        source: A source whose data are available. It may name no file.

    Raises:
        AssertionError: When a pair has two equal numbers, when negative numbers exchange the sides,
            when rows are lost and not counted, or when anything but an error of the user is raised.
    """
    with edited_records(source) as found:
        known = [(records, records.read(unchanged)) for records in found]
        known = [(records, rows) for records, rows in known if len(rows.rows) >= LEAST]
        for records, usual in known:
            _check_numbers(source, records, usual)
            check_labels(source, records, usual)
        for records, usual in known:
            if records.is_table:
                _check_empty(source, records, usual)


def _check_numbers(source: DataSource, records: Records, usual: Rows) -> None:
    ranges = {
        name: (min(numbers), max(numbers))
        for name, values in records.columns.items()
        if len(numbers := _numbers(values)) >= LEAST and not NAMES.search(name)
    }
    deciding = [
        name
        for name, (low, high) in ranges.items()
        if low < high and _turns(usual, records.read(_only(name, lambda v, s=low + high: s - v)))
    ]
    if len(deciding) != 1:
        return  # Several may decide together, as in a quotient.
    name = deciding[0]
    _check_ties(source, records, name, ranges)
    if LIKED.search(name):
        _check_negative(source, records, usual, name, ranges[name][1] + 1)


def _numbers(values: Sequence[Any]) -> Sequence[float]:
    numbers = [as_number(each) for each in values]
    right = [each for each in numbers if type(each) in (int, float)]
    return right if len(right) == len(numbers) else []


def _only(name: str, new: Any) -> Change:
    """Returns a change of the numbers of one column."""

    def change(column: str, number: int, value: Any) -> Any:
        is_meant = column == name and type(value) in (int, float)
        return new(value) if is_meant else value

    return change


Sides = Mapping[str, tuple[str, str]]
"""The chosen and the rejected completion by the prompt."""


def _sides(rows: Rows) -> Sides:
    return {
        repr(row.get("prompt")): (row["chosen"], row["rejected"])
        for row in rows.rows
        if "chosen" in row and "rejected" in row
    }


def _exchanged(usual: Rows, other: Rows) -> Sequence[str]:
    """Returns the prompts whose pair has the opposite sides."""
    before, after = _sides(usual), _sides(other)
    return [asked for asked, (one, two) in before.items() if after.get(asked) == (two, one)]


def _turns(usual: Rows, other: Rows) -> bool:
    """Returns whether most pairs have the opposite sides."""
    return 2 * len(_exchanged(usual, other)) > max(LEAST, len(_sides(usual)))


def _check_ties(
    source: DataSource, records: Records, name: str, ranges: Mapping[str, tuple[float, float]]
) -> None:
    def equal(column: str, number: int, value: Any) -> Any:
        is_number = column in ranges and type(value) in (int, float)
        return ranges[column][1] if is_number else value

    tied = records.read(equal)
    _check_raised(source, records, f"with equal numbers in {name!r}", tied)
    expect(
        not tied.rows or tied.error is not None,
        source,
        f"{name!r} of {records.where} decides which completion is chosen, and with equal numbers "
        f"there it still gives {len(tied.rows)} pairs; expected none, and a count in `dropped`: "
        "nobody prefers one of two completions with the same number",
    )


def _check_negative(
    source: DataSource, records: Records, usual: Rows, name: str, less: float
) -> None:
    negative = records.read(_only(name, lambda value: value - less))
    _check_raised(source, records, f"with negative numbers in {name!r}", negative)
    if negative.error is not None:
        return
    exchanged = _exchanged(usual, negative)
    expect(
        not exchanged,
        source,
        f"with all numbers in {name!r} of {records.where} smaller by {less:g}, so that they are "
        f"negative, {len(exchanged)} pairs have the opposite sides; expected the larger number to "
        "be chosen, also among negative ones",
    )
    lost = len(usual.rows) - len(negative.rows)
    if lost > 0 and negative.dropped <= usual.dropped:
        told = (
            f"with all numbers in {name!r} of {records.where} smaller by {less:g}, so that they "
            f"are negative, {lost} rows are lost, and none of them is counted in `dropped`; does "
            "a comparison begin with 0?"
        )
        has_limit = any(type(v) in (int, float) for v in values_by_alias(source).values())
        expect(has_limit, source, told)
        advise(source, told)


def _check_empty(source: DataSource, records: Records, usual: Rows) -> None:
    """Checks texts of a database that are empty or null."""
    used = repr(usual.rows)
    names = [name for name, values in records.columns.items() if _is_used(values, used)]
    for name in names[:TEXTS]:
        for what, new in (("an empty text", ""), ("null", None)):
            without = records.read(partial(_emptied, name, new))
            said = f"with {what} in {name!r}"
            _check_raised(source, records, said, without)
            if without.error is not None:
                continue
            feedback = next(k for k in COLUMNS if k == source.inspect().feedback)
            for number, row in enumerate(without.rows):
                where = f"row {number} {said} of a record of {records.where}"
                check_row(source, where, row, feedback)
            lost = len(usual.rows) - len(without.rows)
            expect(
                lost <= 0 or without.dropped > usual.dropped,
                source,
                f"{said} of a record of {records.where}, {lost} rows are lost, and none of "
                "them is counted; count what is left out in `dropped`, with a reason",
            )


def _is_used(values: Sequence[Any], used: str) -> bool:
    """Returns whether the values are texts, of which many are in the rows."""
    texts = [value for value in values if isinstance(value, str) and len(value) > 1]
    found = [text for text in texts if repr(text)[1:-1] in used]
    return bool(texts) and len(texts) == len(values) and MANY * len(found) >= len(texts)


def _emptied(name: str, new: Any, column: str, number: int, value: Any) -> Any:
    # One only: a source may take records with equal texts for the same.
    return new if column == name and number == 1 else value


def _check_raised(source: DataSource, records: Records, said: str, rows: Rows) -> None:
    error = rows.error
    expect(
        error is None or isinstance(error, UserError | NotPossibleError),
        source,
        f"{said} of {records.where}, it raised {error_text(error) if error else ''}; expected "
        "rows, a counted drop, or a DataError",
    )


__all__ = ["check_records"]
