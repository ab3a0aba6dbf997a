"""Checks that a conversion gives each text as it is, and each row once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from halo_core.completion import completions_in
from halo_core.data import DataSource
from halo_core.feedback import Feedback
from halo_core.hashing import short_hash
from halo_core.testing.component import expect
from halo_core.testing.data.mixed_cases import CONTACT
from halo_core.testing.data.mixed_reading import Make, read_mixed
from halo_core.testing.data.passed_columns import OPT_OUT, asked, short

Row = Mapping[str, Any]


def check_texts(make: Make, *, feedback: Feedback = "paired") -> None:
    """Checks that no completion differs from the wrapped one only in blanks or in capital letters.

    Other changes of a text are allowed: they may be the purpose of the conversion.

    Args:
        make: Returns the source around another one.
        feedback: The kind of feedback that it wraps.

    Raises:
        AssertionError: When one does, or when a text that both sides of a pair have is changed on
            one side only.
        UserError: When it refuses the rows.
    """
    reading = read_mixed(make, feedback)
    given = [row for rows in reading.given.values() for row in rows]
    for split, rows in reading.made.items():
        for number, row in enumerate(rows):
            _check_both_sides(reading.source, f"row {number} of {split!r}", row)
            text = _retouched(row, given)
            expect(
                not text,
                reading.source,
                f"row {number} of {split!r} has the completion {short(text)}, which differs from "
                "the wrapped one only in white space or in capital letters; a model learns both, "
                f"so pass texts on as they are. {OPT_OUT}",
            )


def _check_both_sides(source: DataSource, where: str, row: Row) -> None:
    """Checks that a text that both sides of a pair have is changed on both sides."""
    sides = [(name, str(row.get(name))) for name in ("chosen", "rejected")]
    known = [name for name, text in sides if any(each in text for each in BOTH)]
    intact = [name for name, text in sides if CONTACT in text]
    expect(
        len(known) < 2 or len(intact) != 1,
        source,
        f"{where} has the text {short(CONTACT)} changed on one side of a pair only, and {intact} "
        "has it as it was; change both sides, because a model learns each difference between them. "
        f"{OPT_OUT}",
    )


BOTH = ("Ask the farmer, who knows her well.", "Ask whoever you like, I do not care.")
"""The beginnings of the two sides of the pair with `CONTACT`."""


def _retouched(row: Row, given: Sequence[Row]) -> str:
    last = asked(row)
    there = {
        completion.text
        for each in given
        if asked(each) in last
        for completion in completions_in(each)
    }
    plain = {_plain(text) for text in there}
    for completion in completions_in(row):
        if completion.text not in there and _plain(completion.text) in plain:
            return completion.text
    return ""


def _plain(text: str) -> str:
    return "".join(text.split()).casefold()


def check_repeats(make: Make, *, feedback: Feedback = "paired") -> None:
    """Checks that a conversion that only chooses rows gives none more often than it gets it.

    Args:
        make: Returns the source around another one.
        feedback: The kind of feedback that it wraps.

    Raises:
        AssertionError: When it does.
        UserError: When it refuses the rows.
    """
    reading = read_mixed(make, feedback)
    for split, rows in reading.made.items():
        given = Counter(content(row) for row in reading.given.get(split, ()))
        made = Counter(map(content, rows))
        if made.keys() <= given.keys():
            more = made - given
            expect(
                not more,
                reading.source,
                f"load({split!r}) gives {more.total()} rows once more than the wrapped source, "
                f"which would then count more in a training; give each row once. {OPT_OUT}",
            )


def content(row: Row) -> str:
    """Returns a hash of a row without its id and its empty columns."""
    told = sorted((name, repr(value)) for name, value in row.items() if name != "id" and value)
    return short_hash(repr(told))


__all__ = ["check_repeats", "check_texts", "content"]
