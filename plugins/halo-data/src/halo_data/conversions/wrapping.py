"""Shared code of data sources that wrap another source: its splits, digest and checked rows."""

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
from halo_data.conversions.distinct import Distinct
from halo_data.rows.columns import ALWAYS_KNOWN, SCORED_BESIDE
from halo_data.rows.dropped import DUPLICATE, Dropped, Row, kept

CARRIED = ("group", "copy")
"""Optional columns that a conversion passes on with the prompt: the group, which must stay on one
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
    """Returns the information of a component that wraps a source.

    Args:
        source: The wrapped source.
        name: The component's name, for the message and the digest.
        wanted: The kinds of feedback that it can wrap.
        given: The kind of feedback that it makes; None for the kind of the source.
        options: Its options, for the digest.

    Raises:
        DataError: When the source has another kind of feedback.
    """
    info = source.inspect()
    check_kind(info.feedback, name, wanted)
    digest = None if info.digest is None else digest_of_parts(name, options, info.digest)
    return DataInfo(
        given or info.feedback, info.splits, digest, info.passed_over, info.read_as, info.idle
    )


def check_kind(feedback: Feedback | None, name: str, wanted: tuple[Feedback, ...]) -> None:
    """Raises DataError if a source's kind of feedback is known and not one of those wanted."""
    if feedback is not None and feedback not in wanted:
        raise DataError(
            f"the source holds {feedback} feedback; expected {' or '.join(wanted)}. "
            "Choose another conversion or none",
            location=name,
        )


def digest_of_parts(*parts: str) -> str:
    """Returns 32 hexadecimal digits that identify some texts in their order."""
    return short_hash(json.dumps(parts), 32)


def converted(
    source: DataSource,
    split: str,
    wanted: tuple[Feedback, ...],
    convert: Callable[[Iterable[Row]], Iterable[Row | Dropped]],
) -> Loaded:
    """Returns the converted rows of a split, with counts of the rows that both left out.

    Args:
        source: The wrapped source.
        split: The split to read.
        wanted: The kinds of feedback that its rows may have.
        convert: Function that converts or drops the rows.
    """
    loaded = source.load(split)
    dropped: Counter[str] = Counter()
    ignored: Counter[str] = Counter()

    def rows() -> Iterator[Row]:
        yield from kept(convert(_checked(loaded.rows, wanted, ignored)), dropped)
        # This is at the end, because the source counts dropped rows while its rows are read.
        dropped.update(loaded.dropped)
        ignored.update(loaded.ignored)

    return Loaded(rows(), dropped, ignored)


def _checked(
    rows: Iterable[Row], wanted: tuple[Feedback, ...], ignored: Counter[str]
) -> Iterator[Row]:
    """Yields rows with the columns that are read, and counts the other columns."""
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
    """Returns the prompt of a row, its extended id, and the columns that are passed on.

    These are `CARRIED` and the columns about the whole row: its tools, and the digests of its ids.
    """
    named = {"id": f"{row['id']}/{side}"} if "id" in row else {}
    carried = {name: row[name] for name in CARRIED if name in row}
    return {**named, "prompt": row["prompt"], **shared_columns(row), **carried}


def prompt_key(row: Row) -> str:
    """Returns a text that identifies the prompt of a row, including its tools."""
    return prompt_id(row["prompt"], row.get("tools"))


def completion_key(row: Row, name: str = "completion") -> tuple[str, str]:
    """Returns texts that identify a completion of a prompt in any row.

    Args:
        row: The row.
        name: The column of the completion.
    """
    return prompt_key(row), completion_in(row, name).key


def unique(outcomes: Iterable[Row | Dropped]) -> Iterator[Row | Dropped]:
    """Yields outcomes, with each combination of prompt, completion and label only once.

    Repetitions from a mixture are not duplicates, because they differ in `copy`.
    """
    seen = Distinct()
    for outcome in outcomes:
        if isinstance(outcome, Dropped):
            yield outcome
            continue
        key = (*completion_key(outcome), outcome.get("desirable"), outcome.get("copy"))
        yield outcome if seen.add(key) else DUPLICATE


def kind_of(row: Row) -> Feedback:
    """Returns the kind of feedback that fits the columns of a row."""
    # The order is reversed, because binary rows have all columns of a demonstration too.
    return next(kind for kind in list(COLUMNS)[::-1] if all(name in row for name in COLUMNS[kind]))
