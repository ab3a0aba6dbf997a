"""Checks what a conversion passes on of valid rows in all their forms, and whether it counts all.

The rows are those of `MixedRows`. A conversion may leave out and change what it likes, but not in
silence: a row that is neither given nor counted is missing in a training, and nobody sees it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from halo_core.data import DataSource, Loaded
from halo_core.feedback import COLUMNS, Feedback
from halo_core.testing.advice import advise
from halo_core.testing.component import expect
from halo_core.testing.data.mixed_reading import Reading, read_mixed
from halo_core.testing.data.mixed_rows import DROPPED, IGNORED, LEFT_OUT, SPLITS
from halo_core.testing.data.passed_columns import asked, lost_in, traces
from halo_core.testing.data.passed_texts import content
from halo_core.testing.data.source_rows import check_row

Row = Mapping[str, Any]


def check_passed_on(
    make: Callable[[DataSource], DataSource], *, feedback: Feedback = "paired"
) -> None:
    """Checks a conversion of rows with shared prompts, system turns, tools, groups and no ids.

    Args:
        make: Returns the source around another one: ``lambda source: Mine(source=source)``.
        feedback: The kind of feedback that it wraps.

    Raises:
        AssertionError: When it raises, changes the rows that it gets, gives two rows one id, loses
            or changes turns of a prompt, its tools or its group, cuts completions, loses or changes
            what is known of them, loses the wrapped counts, leaves out rows without counting them,
            has reasons with the text of a row, or gives rows that are not valid, such as pairs with
            equal sides.
        UserError: When it refuses these rows.
    """
    reading = read_mixed(make, feedback)
    source = reading.source
    expect(
        not reading.changed,
        source,
        "it changes the rows that it gets, which the wrapped source may give again; change a copy: "
        "{**row, ...}",
    )
    given = [row for rows in reading.given.values() for row in rows]
    lost: dict[str, None] = {}
    for split, rows in reading.made.items():
        _check_ids(source, split, rows)
        for number, row in enumerate(rows):
            check_row(source, f"row {number} of {split!r}", row, _kind_of(source, feedback))
            problem = lost_in(row, given, reading.loaded[split].ignored, lost)
            expect(not problem, source, f"row {number} of {split!r} {problem}")
    if set(reading.made) == set(SPLITS):
        for split, each in reading.loaded.items():
            _check_counts(source, split, each)
            _check_none_lost(source, split, reading.given[split], reading.made[split], each)
            _check_reasons(source, split, reading.given[split], each)
        _check_added(make, feedback, reading)
    _check_known_ids(reading)
    if lost:
        advise(
            source,
            f"its completions have lost {', '.join(lost)}; pass on all columns of BESIDE in "
            "halo_core.feedback (of a pair into those of single completions, and so on), or count "
            "them in ignored",
        )


def _kind_of(source: DataSource, feedback: Feedback) -> Feedback:
    """Returns the kind of the rows of a conversion."""
    kind = source.inspect().feedback
    return next((each for each in COLUMNS if each == kind), feedback)


def _check_ids(source: DataSource, split: str, rows: Sequence[Row]) -> None:
    ids = Counter(row["id"] for row in rows if row.get("id") is not None)
    twice = [id_ for id_, count in ids.items() if count > 1]
    expect(
        not twice,
        source,
        f"load({split!r}): {len(twice)} ids come more than once, such as {twice[:1]}. Not all "
        "wrapped rows have an id, and ids may differ only in small and capital letters; leave the "
        "id out where the wrapped row has none",
    )


def _check_counts(source: DataSource, split: str, loaded: Loaded) -> None:
    for name, count in IGNORED.items():
        expect(
            loaded.ignored.get(name, 0) == count,
            source,
            f"load({split!r}): the wrapped source ignores {count} values of {name!r}, and ignored "
            f"is {dict(loaded.ignored)}; pass it on, once: Loaded(rows, dropped, loaded.ignored)",
        )
    expect(
        loaded.dropped.get(LEFT_OUT, 0) == DROPPED,
        source,
        f"load({split!r}): the wrapped source drops {DROPPED} rows, and dropped is "
        f"{dict(loaded.dropped)}; add its drops to yours, once",
    )


def _check_none_lost(
    source: DataSource, split: str, given: Sequence[Row], made: Sequence[Row], loaded: Loaded
) -> None:
    """Checks that rows that are left out are counted: all of them, and no others."""
    own = sum(loaded.dropped.values()) - DROPPED
    wrapped, rest = Counter(map(content, given)), Counter(map(content, made))
    if not rest - wrapped:  # It only chooses rows, so each one that it leaves out is a drop.
        lost = len(given) - len(made)
        expect(
            own >= lost,
            source,
            f"load({split!r}): {lost} rows are left out, and only {own} of them are in dropped; "
            "count each with its reason",
        )
        expect(
            own <= lost,
            source,
            f"load({split!r}): {lost} rows are left out, and dropped has {own}, without those "
            "of the wrapped source; count each row once",
        )
        return
    wanted = list(dict.fromkeys(asked(row) for row in given))
    there = {trace for row in made for trace in traces(row, wanted)}
    prompts = {prompt for prompt, _ in there}
    known = {trace for row in given for trace in traces(row, wanted)}
    by_text = there <= known  # Otherwise it changes texts, and only prompts can be compared.
    gone = [
        row
        for row in given
        if not any((t in there if by_text else t[0] in prompts) for t in traces(row, wanted))
    ]
    expect(
        own >= len(gone),
        source,
        f"load({split!r}): nothing of {len(gone)} wrapped rows is in its rows, and it counts {own} "
        "as dropped; count each with its reason",
    )


def _check_reasons(source: DataSource, split: str, given: Sequence[Row], loaded: Loaded) -> None:
    """Checks that no reason has the id or the prompt of a row, so that few reasons are left."""
    told = {row["id"]: "id" for row in given if row.get("id")}
    told |= {asked(row): "prompt" for row in given if asked(row)}
    for reason in loaded.dropped:
        found = next((text for text in told if text in reason), None)
        expect(
            found is None,
            source,
            f"load({split!r}): the reason {reason!r} has the {told.get(found or '')} of a row; "
            "expected one reason for all rows with the same fault",
        )


def _check_added(
    make: Callable[[DataSource], DataSource], feedback: Feedback, reading: Reading
) -> None:
    """Checks that drops are added to those that the wrapped source has for the same reason."""
    own = [
        {reason: count for reason, count in each.dropped.items() if count and reason != LEFT_OUT}
        for each in reading.loaded.values()
    ]
    if not any(own):
        return
    again = read_mixed(make, feedback, [*dict.fromkeys(reason for each in own for reason in each)])
    for (split, each), before in zip(again.loaded.items(), own, strict=True):
        for reason, count in before.items():
            expect(
                each.dropped.get(reason) == count + DROPPED,
                again.source,
                f"load({split!r}): it drops {count} rows for the reason {reason!r}, the wrapped "
                f"source {DROPPED}, and dropped has {each.dropped.get(reason)}; add them: "
                "dropped = Counter(), and at the end dropped.update(inner.dropped)",
            )


def _check_known_ids(reading: Reading) -> None:
    """Checks the ids of new rows; those of rows that are only chosen must be the old ones."""
    known = [str(row["id"]) for rows in reading.given.values() for row in rows if row.get("id")]
    made = [str(row["id"]) for rows in reading.made.values() for row in rows if row.get("id")]
    if made and not any(each in id_ for each in known for id_ in made):
        told = (
            f"its ids, such as {made[0]!r}, have nothing of those of the wrapped rows, so nobody "
            "finds the row that a message names; write them as f\"{row['id']}/...\""
        )
        before = {content(row) for rows in reading.given.values() for row in rows}
        after = {content(row) for rows in reading.made.values() for row in rows}
        expect(
            not after <= before, reading.source, f"it gives wrapped rows as they are, but {told}"
        )
        advise(reading.source, told)


__all__ = ["check_passed_on"]
