"""Checks the promises of a data source that wraps another one, such as a conversion."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from halo_core.data import DataSource
from halo_core.errors import UserError
from halo_core.feedback import Feedback
from halo_core.testing.advice import advise
from halo_core.testing.component import check_component, check_rules, expect, must_not_raise
from halo_core.testing.data.crowded_prompts import check_prompts
from halo_core.testing.data.data_identity import check_digest
from halo_core.testing.data.given_rows import GivenRows
from halo_core.testing.data.mixed_rows import LEFT_OUT, MixedRows
from halo_core.testing.data.passed_on import check_passed_on
from halo_core.testing.data.passed_texts import check_repeats, check_texts
from halo_core.testing.data.readings import check_readings
from halo_core.testing.data.rules import check_rows
from halo_core.testing.data.source_options import check_other_options
from halo_core.testing.data.text_lengths import check_lengths
from halo_core.testing.data.wrapped_info import check_description, check_kinds


def check_conversion(
    make: Callable[[DataSource], DataSource], *, feedback: Feedback = "paired"
) -> None:
    """Runs `check_component`, `check_rows` and the rules of sources that wrap another one.

    Args:
        make: Returns the source around another one: ``lambda source: Mine(source=source)``.
        feedback: The kind of feedback that it wraps.

    Raises:
        AssertionError: At the first rule that is broken. The rules are those of `check_rows`; the
            drops of the wrapped source are still counted; no prompt is invented; no side is
            exchanged; rows have ids of their own; the digest changes if the wrapped content
            changes, or an option that changes the rows; and those of `check_passed_on`,
            `check_texts`, `check_repeats`, `check_prompts` and `check_description`.
    """
    with must_not_raise(make, f"making it around {feedback} feedback"):
        source = make(GivenRows(feedback=feedback))
    check_component(source)
    rules = wrapping_rules(make, feedback)
    for name in MAY_REFUSE:
        rules[name] = _unless_refused(rules[name])
    check_rules(source, rules)


MAY_REFUSE = (
    "passed-on",
    "texts",
    "repeats",
    "prompts",
    "description",
    "readings",
    "other-options",
)
"""Rules with rows that a conversion may refuse: it may not take tools, for example."""


def wrapping_rules(
    make: Callable[[DataSource], DataSource], feedback: Feedback
) -> dict[str, Callable[[DataSource], None]]:
    """Returns the rules of sources that wrap another one, by their names.

    Args:
        make: Returns the source around another one.
        feedback: The kind of feedback that it wraps.
    """

    def around(check: Callable[..., None]) -> Callable[[DataSource], None]:
        return lambda _: check(make, feedback=feedback)

    def sides(source: DataSource) -> None:
        check_sides(source, feedback=feedback)
        check_mixed_sides(make, feedback=feedback)

    def texts(_: DataSource) -> None:
        check_texts(make, feedback=feedback)
        check_lengths(make, feedback=feedback)

    return {
        "kinds": lambda _: check_kinds(make),
        "wrapping": partial(check_wrapping, make=make, feedback=feedback),
        "sides": sides,
        "passed-on": around(check_passed_on),
        "texts": texts,
        "repeats": around(check_repeats),
        "prompts": around(check_prompts),
        "description": around(check_description),
        "readings": lambda _: check_readings(make(MixedRows(feedback=feedback))),
        "other-options": lambda _: check_other_options(make(MixedRows(feedback=feedback))),
    }


def _unless_refused(check: Callable[[DataSource], None]) -> Callable[[DataSource], None]:
    """Returns a check that passes if the source refuses the rows. `halo check` says this."""

    def run(source: DataSource) -> None:
        try:
            check(source)
        except UserError:
            pass

    return run


def check_wrapping(
    source: DataSource, make: Callable[[DataSource], DataSource], *, feedback: Feedback
) -> None:
    """Checks the rules of `check_conversion` without those of every component.

    Args:
        source: The source around `GivenRows` of this feedback.
        make: Returns the source around another one.
        feedback: The kind of feedback that it wraps.

    Raises:
        AssertionError: At the first rule that is broken.
    """
    check_rows(source)
    check_digest(source)
    _check_mixed_digest(make, feedback)
    info = source.inspect()
    for split in info.splits:
        _check_split(source, split, GivenRows(feedback=feedback))
    with must_not_raise(source, "inspect() around other content"):
        other = make(GivenRows(feedback=feedback, version=2)).inspect()
    expect(
        info.digest != other.digest,
        source,
        f"the digest is {info.digest!r} whatever the wrapped source has; put its digest into "
        "yours, or changed data are taken for the same",
    )


def _check_mixed_digest(make: Callable[[DataSource], DataSource], feedback: Feedback) -> None:
    """Checks the digest with rows of which an option may choose some. They may be refused."""
    try:
        source = make(MixedRows(feedback=feedback))
        for split in source.inspect().splits:
            list(source.load(split).rows)
    except UserError:
        return
    check_digest(source, rows=ALL)


ALL = 1000
"""Number of rows of a split that are at least all of the kit."""


def check_sides(source: DataSource, *, feedback: Feedback) -> None:
    """Checks that completions keep the side, or the order, that the wrapped source gives them.

    Args:
        source: The source around `GivenRows` of this feedback.
        feedback: The kind of feedback that it wraps.

    Raises:
        AssertionError: When a completion that the wrapped source prefers is rejected, undesirable
            or scored below another one, or the other way round.
    """
    merits, whole = _merits(GivenRows(feedback=feedback)), feedback != "scored"
    for split in source.inspect().splits:
        for number, row in enumerate(source.load(split).rows):
            wrong = _wrong_side(row, merits, whole=whole)
            expect(not wrong, source, f"row {number} of {split!r}: {wrong}")


def check_mixed_sides(
    make: Callable[[DataSource], DataSource], *, feedback: Feedback = "paired"
) -> None:
    """Checks the sides of rows in all their forms. They may be refused.

    Args:
        make: Returns the source around another one.
        feedback: The kind of feedback that it wraps.

    Raises:
        AssertionError: When a completion has another side, or another order, than the wrapped
            source gives it.
    """
    try:
        source = make(MixedRows(feedback=feedback))
        rows = {split: list(source.load(split).rows) for split in source.inspect().splits}
    except UserError:
        return
    merits, whole = _merits(MixedRows(feedback=feedback)), feedback != "scored"
    for split, each in rows.items():
        for number, row in enumerate(each):
            wrong = _wrong_side(row, merits, whole=whole)
            expect(not wrong, source, f"row {number} of {split!r}: {wrong}")


def _check_split(source: DataSource, split: str, given: GivenRows) -> None:
    loaded = source.load(split)
    rows = [dict(row) for row in loaded.rows]
    lost = loaded.dropped.get(LEFT_OUT)
    expect(
        lost is not None and lost >= 3,
        source,
        f"load({split!r}): the wrapped source drops 3 rows and says why, and dropped is "
        f"{dict(loaded.dropped)}; add the wrapped source's drops to yours",
    )
    asked = {_asked(row) for name in given.inspect().splits for row in given.load(name).rows}
    for number, row in enumerate(rows):
        expect(
            "prompt" not in row or _asked(row) in asked,
            source,
            f"row {number} of {split!r} has a prompt that the wrapped source does not have",
        )
    ids = [row.get("id") for row in rows]
    if not any(ids):  # halo then numbers the rows.
        advise(
            source,
            f"load({split!r}): its rows have no ids, and the wrapped ones have, so nobody finds "
            "the row that a message names; write them as f\"{row['id']}/...\"",
        )
        return
    expect(
        all(isinstance(each, str) and each for each in ids) and len(set(ids)) == len(ids),
        source,
        f"load({split!r}): the ids are {ids}; the wrapped rows have ids, so give each row its own",
    )


Merits = Mapping[tuple[str, str], float]
"""How good a completion is, by the prompt and the text; comparable for one prompt only."""


def _merits(given: DataSource) -> Merits:
    """Returns how good the completions of the wrapped rows are, according to their feedback.

    Completions about which two rows do not agree are left out.
    """
    merits: dict[tuple[str, str], set[float]] = {}
    for split in given.inspect().splits:
        for row in given.load(split).rows:
            texts = {"chosen": 1.0, "rejected": 0.0}
            told = [(row[name], merit) for name, merit in texts.items() if name in row]
            told += zip(row.get("completions", ()), row.get("scores", ()), strict=True)
            if "desirable" in row:
                told.append((row["completion"], float(row["desirable"])))
            for text, merit in told:
                merits.setdefault((_asked(row), text), set()).add(merit)
    return {key: min(each) for key, each in merits.items() if len(each) == 1}


def _wrong_side(row: Mapping[str, Any], merits: Merits, *, whole: bool) -> str:
    """Returns which completion of a row has the wrong side; "" if none has, or nothing is known.

    Args:
        row: A row of the source.
        merits: The merit of each completion in the wrapped source.
        whole: Whether a merit is 0 or 1, and so decides what is desirable without a threshold.
    """

    def merit(text: object) -> float | None:
        return merits.get((_asked(row), str(text)))

    if {"chosen", "rejected"} <= {*row}:
        better, worse = merit(row["chosen"]), merit(row["rejected"])
        if better is not None and worse is not None and better <= worse:
            return (
                f"it prefers {row['chosen']!r} to {row['rejected']!r}, and the wrapped source says "
                "the opposite, or that they are equal"
            )
    known = merit(row.get("completion"))
    if whole and "desirable" in row and known is not None and row["desirable"] != bool(known):
        return (
            f"it has {row['completion']!r} as {_side(row['desirable'])}, and the wrapped source as "
            f"{_side(bool(known))}"
        )
    scored = list(zip(row.get("completions", ()), row.get("scores", ()), strict=True))
    for (one, score), (other, lower) in itertools.permutations(scored, 2):
        first, second = merit(one), merit(other)
        if first is not None and second is not None and first > second and score < lower:
            return f"it scores {one!r} below {other!r}, and the wrapped source above it"
    return ""


def _side(desirable: bool) -> str:
    return "desirable" if desirable else "undesirable"


def _asked(row: Mapping[str, Any]) -> str:
    return str(row["prompt"][-1]["content"]) if row.get("prompt") else ""
