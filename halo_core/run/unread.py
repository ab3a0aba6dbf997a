"""Lines about the files and columns of a data set that are not read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from halo_core.run.materialise import Rows

MOST = 8
"""Maximum number of names that a line shows. The JSON has all names."""


def unread_lines(ignored: Mapping[str, int], passed_over: Sequence[str]) -> list[str]:
    """Returns one line each for ignored columns, for columns that no row has, and for files.

    Args:
        ignored: Number of rows with a value, by column that is not read.
        passed_over: Files and folders that are next to the files read but are not read.

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
    """Returns the number of rows with a value by ignored column, over all sources of a set."""
    total: Counter[str] = Counter()
    for source in rows:
        total.update(source.ignored)
    return dict(total)


def passed_over_in(rows: Iterable[Rows]) -> list[str]:
    """Returns the files and folders that all sources of a set pass over."""
    return list(dict.fromkeys(name for source in rows for name in source.passed_over))


def read_as_in(rows: Iterable[Rows]) -> list[str]:
    """Returns the lines that say how all sources of a set read their columns."""
    return list(dict.fromkeys(line for source in rows for line in source.read_as))


def _some(names: Sequence[str]) -> str:
    more = len(names) - MOST
    return ", ".join(names[:MOST]) + (f" and {more} more" if more > 0 else "")
