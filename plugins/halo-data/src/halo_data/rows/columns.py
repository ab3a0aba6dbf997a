"""Decides which columns of a row are known and which are ignored."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from functools import lru_cache
from typing import Any

from halo_core.errors import DataError
from halo_core.feedback import BESIDE, OPTIONAL_COLUMNS, Feedback
from halo_data.rows.groups import GROUP
from halo_data.rows.label_like import GLUED, WORDS, looks_like_label

DIGESTS = frozenset({"tokenizer", "template"})
"""Columns that identify the origin of token ids. Without ids they have another meaning."""
ALWAYS_KNOWN = frozenset({"id", "prompt_id", "source", "split", "v", GROUP})
"""Columns that halo reads or writes in rows of any kind."""
SCORED_BESIDE: Mapping[Feedback, Collection[str]] = {
    "binary": ("score",),
    "paired": ("chosen_score", "rejected_score"),
}
"""Additional columns of the rows in `feedback.jsonl`."""


def unread_columns(
    given: Mapping[str, Any],
    columns: Mapping[str, str],
    read: Collection[str],
    synonyms: Mapping[str, str],
    feedback: Feedback,
) -> tuple[str, ...]:
    """Returns the columns of a row that have a value and are not read.

    Args:
        given: The row as read.
        columns: The name in the row by standard name.
        read: The standard names of the columns that the form of the row reads.
        synonyms: Names that replace a standard name if that column is absent.
        feedback: The row's kind of feedback.
    """
    names = tuple(name for name, value in given.items() if value is not None)
    return _unread(names, tuple(columns.items()), (*read,), tuple(synonyms.items()), feedback)


Pairs = tuple[tuple[str, str], ...]


@lru_cache(maxsize=256)  # All rows of a file have the same few lists of columns.
def _unread(
    names: tuple[str, ...],
    columns: Pairs,
    read: tuple[str, ...],
    synonyms: Pairs,
    feedback: Feedback,
) -> tuple[str, ...]:
    known = {*read, *ALWAYS_KNOWN, *OPTIONAL_COLUMNS[feedback], *SCORED_BESIDE.get(feedback, ())}
    if not _has_token_ids(names, columns, synonyms):
        known -= DIGESTS
    known |= {name for name, ours in synonyms if ours in known and ours not in names}
    mapped = {theirs: ours for ours, theirs in columns}
    named = dict(columns)
    return tuple(
        name
        for name in names
        # A column is also not read if another column is mapped to its name.
        if mapped.get(name, name) not in known or (name in named and name not in mapped)
    )


def _has_token_ids(names: tuple[str, ...], columns: Pairs, synonyms: Pairs) -> bool:
    """Returns whether a row has token ids, under any name. Then it also has their `DIGESTS`."""
    ids = {beside.token_ids for beside in BESIDE.values()}
    wanted = ids | {name for name, ours in synonyms if ours in ids}
    wanted |= {theirs for ours, theirs in columns if ours in ids}
    return any(name in wanted for name in names)


def refuse_labels(ignored: Iterable[str], feedback: Feedback, place: str) -> None:
    """Rejects rows without feedback that have a column which looks like feedback.

    Otherwise all answers would be learned as good ones. If the rows have a label, scores or a pair,
    these say which answers are good.

    Args:
        ignored: The columns that would be ignored.
        feedback: The row's kind of feedback.
        place: ``file:line`` of the row.

    Raises:
        DataError: When there is such a column.
    """
    if feedback not in ("demonstration", "text"):
        return
    if found := [name for name in ignored if looks_like_label(name)]:
        names = ", ".join(map(repr, found))
        plural = len(found) > 1
        raise DataError(
            f"the column{'s' if plural else ''} {names} look{'' if plural else 's'} like a label, "
            f"a score or a preference, but the row is read as {feedback} feedback, and all of it "
            f"would be learned from as good. Read it with columns: {{label: {found[0]}}} (labels: "
            "{up: true, down: false} says what its values mean), or ignore it with ignore_columns: "
            f"[{', '.join(found)}]. Words that are looked for: "
            f"{', '.join(sorted({*WORDS, *GLUED}))}",
            location=place,
        )
