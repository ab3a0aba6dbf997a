"""Checks the promises of a data source that wraps another one, such as a conversion."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

from pydantic import Field

from halo_core.data import DataInfo, DataSource, Loaded
from halo_core.errors import DataError, UserError
from halo_core.feedback import Feedback
from halo_core.testing.component import check_component, check_rules, expect, must_not_raise
from halo_core.testing.data import check_rows
from halo_core.testing.data_identity import check_digest
from halo_core.testing.mixed_rows import LEFT_OUT
from halo_core.testing.passed_on import check_passed_on

ANIMALS = ("cow", "sheep", "duck", "frog", "owl", "bee")


class GivenRows(DataSource):
    """A few rows of any kind of feedback, for tests of sources that wrap another one."""

    feedback: Feedback = Field(default="paired", description="The kind of the rows.")
    version: int = Field(default=1, ge=1, description="Version of the content, in the digest.")

    def inspect(self) -> DataInfo:
        """Returns the kind, two splits and a digest."""
        return DataInfo(self.feedback, ("train", "test"), f"given-{self.feedback}-{self.version}")

    def load(self, split: str) -> Loaded:
        """Returns the rows; three others are dropped and counted.

        Raises:
            DataError: When there is no such split.
        """
        if split not in ("train", "test"):
            raise DataError(f"no split {split!r}; there are train and test")
        dropped: dict[str, int] = {}
        return Loaded(self._rows(split, dropped), dropped)

    def _rows(self, split: str, dropped: dict[str, int]) -> Iterator[Mapping[str, Any]]:
        for number, animal in enumerate(ANIMALS):
            asked = f"What does a {animal} say, friend of the {split} set?"
            prompt = [{"role": "user", "content": asked}]
            row = {"id": f"{split}-{animal}", "prompt": prompt}
            yield row | _completions(self.feedback, animal, number)
            if self.feedback == "binary" and number % 3 == 0:  # Some prompts have both labels.
                again = {**row, "id": f"{split}-{animal}-again"}
                yield again | _completions(self.feedback, animal, number + 1)
        dropped[LEFT_OUT] = 3  # Counted at the end, as a generator may.


def _completions(feedback: Feedback, animal: str, number: int) -> dict[str, Any]:
    good, bad, middle = f"A {animal} is heard.", "I do not know.", f"It is a {animal}."
    columns: Mapping[Feedback, dict[str, Any]] = {
        "text": {"text": f"{good} {middle}"},
        "prompts": {},
        "demonstration": {"completion": good},
        "binary": {"completion": (good, bad)[number % 2], "desirable": number % 2 == 0},
        "paired": {"chosen": good, "rejected": bad},
        "scored": {"completions": [good, middle, bad], "scores": [4.0 + number, 3.0, 1.0]},
    }
    return columns[feedback]


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
            changes, or an option that changes the rows; and those of `check_passed_on`.
    """
    with must_not_raise(make, f"making it around {feedback} feedback"):
        source = make(GivenRows(feedback=feedback))
    check_component(source)
    check = partial(check_wrapping, make=make, feedback=feedback)
    sides = partial(check_sides, feedback=feedback)
    rules: dict[str, Callable[[DataSource], None]] = {
        "wrapping": check,
        "sides": sides,
        "passed-on": passed_on(make, feedback),
    }
    check_rules(source, rules)


def passed_on(
    make: Callable[[DataSource], DataSource], feedback: Feedback
) -> Callable[[DataSource], None]:
    """Returns `check_passed_on` for a source, which passes if the source refuses the rows."""

    def check(_: DataSource) -> None:
        try:
            check_passed_on(make, feedback=feedback)
        except UserError:
            pass  # A conversion may not take tools, for example. `halo check` says this.

    return check


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
    expect(
        all(isinstance(each, str) and each for each in ids) and len(set(ids)) == len(ids),
        source,
        f"load({split!r}): the ids are {ids}; the wrapped rows have ids, so give each row its own",
    )


Merits = Mapping[tuple[str, str], float]
"""How good a completion is, by the prompt and the text; comparable for one prompt only."""


def _merits(given: GivenRows) -> Merits:
    """Returns how good the completions of the wrapped rows are, according to their feedback."""
    merits: dict[tuple[str, str], float] = {}
    for split in given.inspect().splits:
        for row in given.load(split).rows:
            texts = {"chosen": 1.0, "rejected": 0.0}
            told = {row[name]: merit for name, merit in texts.items() if name in row}
            told |= dict(zip(row.get("completions", ()), row.get("scores", ()), strict=True))
            if "desirable" in row:
                told[row["completion"]] = float(row["desirable"])
            merits |= {(_asked(row), text): merit for text, merit in told.items()}
    return merits


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
