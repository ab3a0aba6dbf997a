"""What data sources share that wrap another one: its splits and digest, its rows, checked."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from halo_core.completion import completion_in, shared_columns
from halo_core.data import DataInfo, DataSource, Loaded
from halo_core.errors import DataError
from halo_core.feedback import COLUMNS, OPTIONAL_COLUMNS, Feedback, prompt_id
from halo_core.hashing import short_hash
from halo_data.rows.columns import ALWAYS_KNOWN, SCORED_BESIDE
from halo_data.rows.dropped import DUPLICATE, Dropped, Row, kept

CARRIED = ("group", "copy")
"""Columns that a conversion hands on beside the prompt, where they are there: what must stay on one
side of a hold-out, and the number of a repetition in a mixture."""

_TELLING: Mapping[Feedback, str] = {
    "paired": "chosen",
    "binary": "desirable",
    "scored": "scores",
    "demonstration": "completion",
    "text": "text",
}


def wrapped_info(
    source: DataSource,
    name: str,
    wanted: tuple[Feedback, ...],
    given: Feedback | None,
    options: str,
) -> DataInfo:
    """Returns what a component says of itself that wraps a source.

    Args:
        source: The wrapped source.
        name: The component's name, for the message and the digest.
        wanted: The kinds of feedback it can wrap.
        given: The kind it makes; None for that of the source.
        options: Its options, for the digest.

    Raises:
        DataError: When the source holds another kind.
    """
    info = source.inspect()
    check_kind(info.feedback, name, wanted)
    digest = None if info.digest is None else digest_of_parts(name, options, info.digest)
    return DataInfo(given or info.feedback, info.splits, digest, info.passed_over)


def check_kind(feedback: Feedback | None, name: str, wanted: tuple[Feedback, ...]) -> None:
    """Raises DataError when a source's kind is known and none of those wanted."""
    if feedback is not None and feedback not in wanted:
        raise DataError(
            f"the source holds {feedback} feedback; expected {' or '.join(wanted)}. "
            "Choose another conversion or none",
            location=name,
        )


def digest_of_parts(*parts: str) -> str:
    """Returns 32 hexadecimal digits that name some texts, in order."""
    return short_hash(json.dumps(parts), 32)


def converted(
    source: DataSource,
    split: str,
    wanted: tuple[Feedback, ...],
    convert: Callable[[Iterable[Row]], Iterable[Row | Dropped]],
) -> Loaded:
    """Returns the rows that a conversion makes of a split, with what both left out.

    Args:
        source: The wrapped source.
        split: The split to read.
        wanted: The kinds of feedback that its rows may have.
        convert: Gives what becomes of the rows.
    """
    loaded = source.load(split)
    dropped: Counter[str] = Counter()
    ignored: Counter[str] = Counter()

    def rows() -> Iterator[Row]:
        yield from kept(convert(_checked(loaded.rows, wanted, ignored)), dropped)
        # At the end: the source counts what it drops while its rows are read.
        dropped.update(loaded.dropped)
        ignored.update(loaded.ignored)

    return Loaded(rows(), dropped, ignored)


def _checked(
    rows: Iterable[Row], wanted: tuple[Feedback, ...], ignored: Counter[str]
) -> Iterator[Row]:
    """Yields rows with the columns that are read; the others are counted, and not handed on."""
    known = {name for kind in wanted for name in (*COLUMNS[kind], *OPTIONAL_COLUMNS[kind])}
    known |= {*ALWAYS_KNOWN, *CARRIED, *(n for names in SCORED_BESIDE.values() for n in names)}
    for row in rows:
        if not any(_TELLING[feedback] in row for feedback in wanted):
            raise DataError(
                f"a row has the columns {', '.join(row)}; expected {' or '.join(wanted)} feedback",
                location=str(row.get("id", "the source")),
            )
        unread = row.keys() - known
        ignored.update(name for name in unread if row[name] is not None)
        yield {name: row[name] for name in row if name in known} if unread else row


def start_of(row: Row, side: str) -> dict[str, Any]:
    """Returns the prompt of a row, its id with an addition, and the columns that are handed on.

    These are `CARRIED`, and what is said of the whole row: its tools, and the digests of its ids.
    """
    named = {"id": f"{row['id']}/{side}"} if "id" in row else {}
    carried = {name: row[name] for name in CARRIED if name in row}
    return {**named, "prompt": row["prompt"], **shared_columns(row), **carried}


def prompt_key(row: Row) -> str:
    """Returns what names the prompt of a row, its tools included."""
    return prompt_id(row["prompt"], row.get("tools"))


def completion_key(row: Row, name: str = "completion") -> tuple[str, str]:
    """Returns what names a completion of a prompt, wherever it stands.

    Args:
        row: The row.
        name: The column of the completion.
    """
    return prompt_key(row), completion_in(row, name).key


def unique(outcomes: Iterable[Row | Dropped]) -> Iterator[Row | Dropped]:
    """Yields outcomes, a prompt with the same completion and label only once.

    Repetitions that a mixture was asked for are not duplicates: they differ in `copy`.
    """
    seen = set()
    for outcome in outcomes:
        if isinstance(outcome, Dropped):
            yield outcome
            continue
        key = (*completion_key(outcome), outcome.get("desirable"), outcome.get("copy"))
        yield DUPLICATE if key in seen else outcome
        seen.add(key)


def kind_of(row: Row) -> Feedback:
    """Returns the kind of feedback that a row has the columns of."""
    # Backwards: a row of binary feedback has all columns of a demonstration too.
    return next(kind for kind in list(COLUMNS)[::-1] if all(name in row for name in COLUMNS[kind]))
