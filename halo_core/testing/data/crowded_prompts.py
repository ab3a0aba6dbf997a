"""Checks what a conversion does with single prompts: with each one alone, and with many rows."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from halo_core.completion import completions_in
from halo_core.data import DataSource
from halo_core.feedback import COLUMNS, Feedback, prompt_id
from halo_core.option_fields import values_by_alias
from halo_core.testing.component import expect, must_not_raise
from halo_core.testing.data.crowded_rows import CROWDED, CrowdedRows, crowded_rows, prompts
from halo_core.testing.data.mixed_reading import Make
from halo_core.testing.data.passed_columns import asked
from halo_core.testing.data.passed_texts import content
from halo_core.testing.data.source_rows import check_row
from halo_core.testing.option_values import with_option

Row = Mapping[str, Any]

REASONS = 8
"""Number of reasons from which they seem to depend on the row."""

BEGINNING = 20
"""Characters of a prompt that no reason has."""

EPSILON = 1e-9
"""A score that is nearly 0."""

MORE = re.compile(r"extra|additional|more|further|besides|other", re.IGNORECASE)
"""Words of an option that does not say how many rows there are in all."""


def check_prompts(make: Make, *, feedback: Feedback = "paired") -> None:
    """Checks what a conversion does with prompts that look alike, come often, or have ties.

    If the rows of usual prompts depend on no other prompt, this must hold for all prompts.

    Args:
        make: Returns the conversion around another source.
        feedback: The kind of feedback that it wraps.

    Raises:
        AssertionError: When a row is not valid, a prompt is taken for another one, a number of rows
            per prompt is exceeded by one, a pair has two completions of the same score, a score of
            0 is taken for a missing one, or rows that are left out are not counted, or counted with
            a reason for each.
        UserError: When it refuses the rows.
    """
    if feedback == "text":
        return
    source = make(CrowdedRows(feedback=feedback))
    rows, dropped = _read(source)
    kind = next((k for k in COLUMNS if k == source.inspect().feedback), feedback)
    for number, row in enumerate(rows):
        check_row(source, f"row {number}", row, kind)
    given = [row for _, row in crowded_rows(feedback)]
    _check_reasons(source, given, dropped)
    if feedback != "prompts":
        _check_counts(source, given, rows, sum(dropped.values()))
    _check_alone(make, source, feedback, rows)
    _check_limits(make, feedback)
    if feedback == "scored":
        _check_ties(source, given, rows)
        _check_zero(make, source, rows)


def _read(source: DataSource) -> tuple[list[Row], Mapping[str, int]]:
    with must_not_raise(source, "reading rows of prompts that come often"):
        loaded = source.load("train")
        rows: list[Row] = [dict(row) for row in loaded.rows]
    return rows, {reason: count for reason, count in loaded.dropped.items() if count}


def _check_reasons(source: DataSource, given: Sequence[Row], dropped: Mapping[str, int]) -> None:
    starts = {asked(row)[:BEGINNING] for row in given}
    told = [reason for reason in dropped if any(start in reason for start in starts)]
    expect(
        not told and len(dropped) < REASONS,
        source,
        f"it counts dropped rows for {len(dropped)} reasons, such as {[*told, *dropped][:1]}; "
        "expected one reason for all rows with the same fault, without the text or the id of a row",
    )


def _check_counts(
    source: DataSource, given: Sequence[Row], rows: Sequence[Row], count: int
) -> None:
    """Checks that wrapped rows of which no completion is left are counted."""
    there, known = ({each for row in several for each in _told(row)} for several in (rows, given))
    gone = [row for row in given if not {*_told(row)} & there]
    expect(
        count >= len(gone) or not there <= known or not rows,
        source,
        f"nothing of {len(gone)} wrapped rows is in its rows, and it counts {count} as dropped; "
        "count each row that is left out, with its reason",
    )


def _told(row: Row) -> Iterator[tuple[str, str]]:
    yield from ((_prompt(row), each.key) for each in completions_in(row))


def _prompt(row: Row) -> str:
    return prompt_id(row["prompt"], row.get("tools")) if row.get("prompt") else ""


def _check_alone(make: Make, source: DataSource, feedback: Feedback, rows: Sequence[Row]) -> None:
    """Checks that no prompt is taken for another one."""
    whole, columns = Counter(map(_row_content, rows)), prompts()
    alone: dict[str, Counter[str]] = {}
    for name in columns:
        made, _ = _read(make(CrowdedRows(feedback=feedback, only=(name,))))
        alone[name] = Counter(map(_row_content, made))
    of_prompt = {name: _prompt(told) for name, told in columns.items()}

    def differs(name: str) -> str:
        together = Counter(_row_content(row) for row in rows if _prompt(row) == of_prompt[name])
        if alone[name] - whole:
            return "loses rows"
        return "has more rows" if together - alone[name] else ""

    plain = [name for name in columns if name.startswith("plain")]
    if any(differs(name) for name in plain):
        return  # It compares rows of different prompts, for example for a number of rows in all.
    for name, told in columns.items():
        what = differs(name)
        expect(
            not what,
            source,
            f"the prompt {asked(told)!r} ({name}) {what} if there are other "
            "prompts, and usual prompts do not; tell prompts apart by prompt_id(row['prompt'], "
            "row.get('tools')), wherever their rows are",
        )


def _row_content(row: Row) -> str:
    return content({name: value for name, value in row.items() if name != "group"})


def _check_limits(make: Make, feedback: Feedback) -> None:
    """Checks that no option that is a number of rows per prompt gives one more than it says."""
    source = make(CrowdedRows(feedback=feedback, only=(CROWDED,)))
    for alias, value in values_by_alias(source).items():
        if type(value) is not int or MORE.search(_words(source, alias)):
            continue
        counts = []
        for most in (1, 2, 3):
            try:
                other: Any = with_option(source, alias, most)
                counts.append(len(_read(other)[0]))
            except Exception:
                break  # The business of other rules.
        expect(
            counts != [2, 3, 4],
            source,
            f"with {alias!r} of 1, 2 and 3, a prompt has 2, 3 and 4 rows; expected at most as many "
            "as the option says. Is a comparison wrong by one?",
        )


def _words(source: DataSource, alias: str) -> str:
    fields = type(source).model_fields.items()
    return next(f"{alias} {f.description}" for name, f in fields if alias in (name, f.alias))


def _check_ties(source: DataSource, given: Sequence[Row], rows: Sequence[Row]) -> None:
    """Checks that no pair has two completions with the same score."""
    scores = {
        (_prompt(row), text): score
        for row in given
        for text, score in zip(row["completions"], row["scores"], strict=True)
        if row["completions"].count(text) == 1
    }
    for number, row in enumerate(rows):
        if "chosen" not in row or "rejected" not in row:
            continue
        better, worse = (scores.get((_prompt(row), row[side])) for side in ("chosen", "rejected"))
        expect(
            better is None or worse is None or better > worse,
            source,
            f"row {number} prefers {row['chosen']!r} with the score {better} to "
            f"{row['rejected']!r} with {worse}; expected a larger score, also among negative ones",
        )


def _check_zero(make: Make, source: DataSource, rows: Sequence[Row]) -> None:
    """Checks that 0 is a score like those next to it."""
    near = [
        _read(make(CrowdedRows(feedback="scored", zero=zero)))[0] for zero in (EPSILON, -EPSILON)
    ]
    usual, above, below = ([_texts(row) for row in each] for each in (rows, *near))
    expect(
        above != below or usual == above,
        source,
        f"with scores of 0 it gives {len(usual)} rows, and {len(above)} with {EPSILON:g} and "
        f"{-EPSILON:g} in their place; expected the same: 0 is a score, so compare with None in "
        "place of `if score`",
    )


def _texts(row: Row) -> Sequence[object]:
    names = ("prompt", "completion", "desirable", "chosen", "rejected", "completions")
    return [row.get(name) for name in names]


__all__ = ["check_prompts"]
