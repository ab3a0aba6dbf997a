"""What of a set's files and rows is not read, in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from halo_core.run.materialise import Rows

MOST = 8
"""Names that are told of one kind; the JSON has all."""


def unread_lines(ignored: Mapping[str, int], passed_over: Sequence[str]) -> list[str]:
    """Returns a line for columns that are ignored, for names that no row has, and for files.

    Args:
        ignored: Column to the rows that hold something in it.
        passed_over: Files and folders beside those that are read.

    >>> unread_lines({"topic": 3, "raitng": 0}, ["raw/"])
    ['ignored columns: topic (3)', "ignore_columns names 'raitng', which no row has", \
'passed over in the folder: raw/']
    """
    found = [f"{name} ({n})" for name, n in ignored.items() if n]
    absent = ", ".join(repr(name) for name, n in ignored.items() if not n)
    lines = [f"ignored columns: {_some(found)}"] if found else []
    if absent:
        lines.append(f"ignore_columns names {absent}, which no row has")
    if passed_over:
        lines.append(f"passed over in the folder: {_some(passed_over)}")
    return lines


def ignored_in(rows: Iterable[Rows]) -> dict[str, int]:
    """Returns column to number of rows, of all sources of a set."""
    total: Counter[str] = Counter()
    for source in rows:
        total.update(source.ignored)
    return dict(total)


def passed_over_in(rows: Iterable[Rows]) -> list[str]:
    """Returns the files and folders that are passed over, of all sources of a set."""
    return list(dict.fromkeys(name for source in rows for name in source.passed_over))


def _some(names: Sequence[str]) -> str:
    more = len(names) - MOST
    return ", ".join(names[:MOST]) + (f" and {more} more" if more > 0 else "")
