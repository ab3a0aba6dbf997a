"""Counts the columns that a source with a fixed schema does not read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator

from halo_data.rows.forms import Record


def count_ignored(
    records: Iterable[Record], known: Collection[str], ignored: Counter[str]
) -> Iterator[Record]:
    """Yields records unchanged, and counts unknown columns that have a value."""
    names = frozenset(known)
    for record in records:
        given = record.given
        ignored.update(name for name in given if name not in names and given[name] is not None)
        yield record
