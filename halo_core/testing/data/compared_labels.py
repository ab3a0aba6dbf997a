"""Checks what a source does with labels and turns: texts for truth values, ties, lost answers."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from halo_core.data import DataSource
from halo_core.testing.component import expect
from halo_core.testing.data.edited_records import Change, Records, Rows, as_number

LABEL = re.compile(
    r"thumb|label|desirable|liked?$|helpful|good|accept|approv|vote|rating|correct|(^|_)up$",
    re.IGNORECASE,
)
"""Names of columns that say whether a completion is desirable."""

NUMBER = re.compile(r"score|karma|points|stars|reward|grade", re.IGNORECASE)
"""Further names of columns of numbers that say so."""

WINNER = re.compile(r"winn|prefer|choice|chosen|better|label|vote|verdict", re.IGNORECASE)
"""Names of columns that say which of two completions is better."""

ASKING, ANSWERING = ("user", "human"), ("assistant", "gpt", "bot", "model")
"""Names of roles."""

TIE = "tie"
"""A value of such a column that names no completion."""

LONGEST = 12
"""Characters of a value of such a column."""

MOST = 6
"""Number of different values of a column of labels."""

LEAST = 3
"""Number of rows from which they say something."""


def check_labels(source: DataSource, records: Records, usual: Rows) -> None:
    """Checks labels of single completions, and of pairs.

    Args:
        source: The source.
        records: The records of one of its files.
        usual: Its rows without a change.

    Raises:
        AssertionError: When all rows have one label and the file has several, an empty label gives
            one, or a tie gives pairs.
    """
    if all("desirable" in row for row in usual.rows):
        _check_label(source, records, usual)
        _check_no_label(source, records)
    if all("chosen" in row for row in usual.rows):
        _check_tie(source, records, usual)


def _values(records: Records, name: str) -> Sequence[Any]:
    """Returns the different values of a column that may be labels; none if they are too many."""
    values = list(dict.fromkeys(each for each in records.columns[name] if each not in (None, "")))
    return values if 2 <= len(values) <= MOST else []


def _all(name: str, new: Any) -> Change:
    return lambda column, number, value: new if column == name else value


def _check_label(source: DataSource, records: Records, usual: Rows) -> None:
    labels = {row["desirable"] for row in usual.rows}
    if len(labels) != 1 or len(usual.rows) < LEAST:
        return
    (label,) = labels
    for name in filter(LABEL.search, records.columns):
        values = _values(records, name)
        told = [records.read(_all(name, value)) for value in values]
        expect(
            not values or any(_labels(each) != _labels(usual) for each in told),
            source,
            f"all {len(usual.rows)} rows have desirable={label}, whether {name!r} of "
            f"{records.where} is {' or '.join(map(repr, values))}; expected this column to decide. "
            "Is a text taken for a truth value? bool('0') is True",
        )


def _check_no_label(source: DataSource, records: Records) -> None:
    """Checks that a completion that nobody labelled gets no label."""
    for name, values in records.columns.items():
        if not (LABEL.search(name) or NUMBER.search(name)) or any(v in (None, "") for v in values):
            continue
        both = _values(records, name)
        if values and all(type(as_number(each)) in (int, float) for each in values):
            both = [min(values, key=as_number), max(values, key=as_number)]
        found = [_only(records.read(_all(name, each))) for each in both]
        if not ({True} in found and {False} in found):
            continue  # It does not decide by itself.
        for what, empty in (("empty", ""), ("null", None)):
            without = records.read(_all(name, empty))
            expect(
                len(_only(without)) != 1 or without.error is not None,
                source,
                f"if {name!r} is {what} in all records of {records.where}, {len(without.rows)} "
                f"rows have desirable={next(iter(_only(without)), None)}; expected no rows, and a "
                "count in `dropped`: nobody labelled these completions",
            )


def _only(rows: Rows) -> set[object]:
    return {row.get("desirable") for row in rows.rows}


def _labels(rows: Rows) -> object:
    return [row.get("desirable") for row in rows.rows], rows.dropped, repr(rows.error)


def _check_tie(source: DataSource, records: Records, usual: Rows) -> None:
    for name in filter(WINNER.search, records.columns):
        values = _values(records, name)
        if not values or any(len(str(each)) > LONGEST for each in values):
            continue
        sides = [_sides(records.read(_all(name, value))) for value in values]
        turned = any(
            any(two.get(asked) == pair[::-1] for asked, pair in one.items())
            for one in sides
            for two in sides
        )
        tied = records.read(_all(name, TIE))
        expect(
            not turned or tied.error is not None or not tied.rows,
            source,
            f"{name!r} of {records.where} decides which completion is chosen, and with {TIE!r} "
            f"there it still gives {len(tied.rows)} pairs; expected pairs for known values only, "
            "and for others a count in `dropped`, or a DataError",
        )


def _sides(rows: Rows) -> Mapping[str, tuple[str, str]]:
    return {repr(row.get("prompt")): (row["chosen"], row["rejected"]) for row in rows.rows}


def check_turns(source: DataSource, lines: Sequence[tuple[str, str]], where: str) -> None:
    """Checks that no turn of the assistant between two turns of the user is lost.

    Args:
        source: The source.
        lines: Lines of its file, each with its first row as JSON.
        where: The name of the file.

    Raises:
        AssertionError: When one is.
    """
    for text, told in lines:
        if not text.lstrip().startswith("{") or not told:
            continue
        row = json.loads(told)
        asked = [str(turn.get("content")) for turn in row.get("prompt") or ()]
        for turns in _conversations(json.loads(text)):
            lost = [
                said
                for n, (role, said) in enumerate(turns)
                if role in ANSWERING and said.strip() and said not in asked
                if _is_between(n, turns, asked)
            ]
            expect(
                not lost,
                source,
                f"a prompt has the turns of the user before and after {lost[:1]}, an answer in "
                f"{where!r}, and not this answer; pass on all turns, because later questions are "
                "about earlier answers",
            )


def _is_between(place: int, turns: Sequence[tuple[str, str]], asked: Sequence[str]) -> bool:
    before = [said for role, said in turns[:place] if role in ASKING]
    after = [said for role, said in turns[place + 1 :] if role in ASKING]
    return bool(before and after) and before[-1] in asked and after[0] in asked


def _conversations(value: Any) -> Iterator[Sequence[tuple[str, str]]]:
    """Yields the lists of turns in a value of JSON, each with its role and its text."""
    if isinstance(value, Mapping):
        for each in value.values():
            yield from _conversations(each)
    elif isinstance(value, list) and value and all(isinstance(each, Mapping) for each in value):
        turns = [
            (str(each.get("role", each.get("from"))), each.get("content", each.get("value")))
            for each in value
        ]
        if all(isinstance(said, str) for _, said in turns):
            yield [(role, str(said)) for role, said in turns]


__all__ = ["check_labels", "check_turns"]
