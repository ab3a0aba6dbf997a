"""Checks that each reading of a data source is one of its own, whatever was read before."""

from __future__ import annotations

import gc
import itertools
import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from halo_core.data import DataSource
from halo_core.testing.component import expect, must_not_raise
from halo_core.testing.left_running import leaves_nothing_running
from halo_core.testing.processes.effects import caches
from halo_core.testing.processes.global_chance import seeds_chance
from halo_core.testing.processes.kept_state import changed_places, kept_by, modules_of
from halo_core.testing.processes.shifted_clock import shifted_clock

OPEN_FILES = "/proc/self/fd"
"""The folder with a link to each open file of a process, where the system has one."""

ALIKE = 3
"""Number of reasons of dropped rows that differ only in a number, from which they are one."""

MANY = 20
"""Number of reasons, each of a single row, that are too many to be read."""


def check_readings(source: DataSource, *, rows: int = 200) -> None:
    """Checks that readings do not depend on each other, on the date, or on what was counted before.

    Args:
        source: A source whose data are available.
        rows: Maximum number of rows to read from each split, at least 1.

    Raises:
        AssertionError: When a second reading counts other drops or ignored values, when two
            readings at the same time give other rows, when each reading leaves one more file open,
            when the rows or the digest change with the date, when each dropped row has a reason of
            its own, when each reading changes an option or an attribute of the source, when it
            leaves a thread or a process running, or when it seeds a shared random generator.
    """
    with must_not_raise(source, "inspect() and load()"):
        splits = source.inspect().splits
        first = {split: _counted(source, split, rows) for split in splits}
        before, kept = _open_files(), kept_by(source, ())
        with leaves_nothing_running(source, "load()"):
            again = {split: _counted(source, split, rows) for split in splits}
    changed = changed_places(kept, kept_by(source, ()))
    expect(
        not changed,
        source,
        f"each reading changes {', '.join(changed)}; expected the options to stay as they are, "
        "because two readings may be under way: keep what you count in a variable of load()",
    )
    for split, (content, counts) in first.items():
        expect(
            counts == again[split][1],
            source,
            f"load({split!r}) counts {_shown(counts)} and, when it is called again, "
            f"{_shown(again[split][1])}; expected the same: make the counters in load()",
        )
        check_reasons(source, split, counts["dropped"])
        _check_together(source, split, content, rows)
    _check_closed(source, before, splits, rows)
    _check_chance(source, splits, rows)
    _check_date(source, splits, rows)


Counts = Mapping[str, Mapping[str, int]]


def _counted(source: DataSource, split: str, limit: int) -> tuple[list[str], Counts]:
    loaded = source.load(split)
    content = [repr(dict(row)) for row in itertools.islice(loaded.rows, limit)]
    return content, {"dropped": dict(loaded.dropped), "ignored": dict(loaded.ignored)}


def check_reasons(source: DataSource, split: str, dropped: Mapping[str, int]) -> None:
    """Checks that a reason is one of a kind of rows, and not of a single row.

    Args:
        source: The source.
        split: The split, for the message.
        dropped: The number of dropped rows by reason.

    Raises:
        AssertionError: When many reasons differ only in a number, or have one row each.
    """
    alike = Counter(re.sub(r"\d+", "N", reason) for reason, count in dropped.items() if count == 1)
    reason, count = max(alike.items(), key=lambda item: item[1], default=("", 0))
    expect(
        count < ALIKE and sum(alike.values()) < MANY,
        source,
        f"load({split!r}): dropped has {len(dropped)} reasons, of which {count} are like "
        f"{reason!r}, with one row each; expected one reason for all rows with the same fault",
    )


def _check_together(source: DataSource, split: str, content: Sequence[str], limit: int) -> None:
    with must_not_raise(source, f"load({split!r}), twice at the same time"):
        one, other = iter(source.load(split).rows), iter(source.load(split).rows)
        pairs = list(itertools.islice(itertools.zip_longest(one, other), limit))
    for side in (0, 1):
        told = [repr(dict(pair[side])) for pair in pairs if pair[side] is not None]
        expect(
            told == list(content),
            source,
            f"load({split!r}) gives other rows while a second reading is under way, as in a "
            "mixture; expected the same rows: each call of load() starts again from the first row",
        )


def _open_files() -> Counter[str]:
    """Returns the number of times that each file is open, without those of caches."""
    found: Counter[str] = Counter()
    kept = tuple(str(folder) for folder in caches())
    for number in os.listdir(OPEN_FILES) if os.path.isdir(OPEN_FILES) else ():
        try:
            path = os.readlink(f"{OPEN_FILES}/{number}")
        except OSError:
            continue  # It was the folder itself.
        if os.path.isfile(path) and not path.startswith((*kept, "/proc/", "/dev/")):
            found[path] += 1
    return found


def _check_closed(
    source: DataSource, before: Counter[str], splits: Sequence[str], rows: int
) -> None:
    with must_not_raise(source, "load()"):
        _begin(source, splits)
    left = _open_files() - before
    if left:
        # Python closes a file of a reference cycle late. To search for cycles takes so long that it
        # is done only if a file was left.
        gc.collect()
        before = _open_files()
        with must_not_raise(source, "load()"):
            for split in splits:
                _counted(source, split, rows)
            _begin(source, splits)
        gc.collect()
        left = _open_files() - before
    expect(
        not left,
        source,
        f"each reading leaves {', '.join(list(left)[:3])} open; close it when the rows are read: "
        "with open(...) as file, or contextlib.closing(...)",
    )


def _begin(source: DataSource, splits: Sequence[str]) -> None:
    """Reads the first row of each split, and leaves the rest."""
    for split in splits:
        next(iter(source.load(split).rows), None)


def _check_chance(source: DataSource, splits: Sequence[str], rows: int) -> None:
    def read() -> None:
        for split in splits:
            _counted(source, split, rows)

    seeded = seeds_chance(read)
    expect(
        not seeded,
        source,
        f"load() seeds the random generator of {seeded}, which all code of the process shares; use "
        "one of your own: random.Random(self.seed)",
    )


def _check_date(source: DataSource, splits: Sequence[str], rows: int) -> None:
    here = _told(source, splits, rows)
    try:
        with shifted_clock(modules_of(source)):
            there = _told(source, splits, rows)
    except Exception:
        return  # Only values that differ are a fault: the other clock is not a real one.
    for name, value in here.items():
        expect(
            there[name] == value,
            source,
            f"{name} depends on the clock: it is another one at another date; expected the same, "
            "because the rows are read again after a stop, and results are looked up by the digest",
        )


def _told(source: DataSource, splits: Sequence[str], rows: int) -> Mapping[str, Any]:
    contents = {f"the content of {s!r}": _counted(source, s, rows)[0] for s in splits}
    return {"the digest": source.inspect().digest, **contents}


def _shown(counts: Counts) -> str:
    return ", ".join(f"{name} {dict(each)}" for name, each in counts.items())


__all__ = ["check_readings", "check_reasons"]
