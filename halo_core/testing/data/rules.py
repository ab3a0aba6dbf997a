"""Checks the promises of every data source: right rows, repeatable, with all drops counted."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from halo_core.data import DataInfo, DataSource
from halo_core.errors import DataError
from halo_core.feedback import COLUMNS, Feedback
from halo_core.testing.component import check_component, check_rules, expect, must_not_raise
from halo_core.testing.data.compared_records import check_records
from halo_core.testing.data.counted_lines import check_lines
from halo_core.testing.data.data_identity import check_digest
from halo_core.testing.data.file_texts import check_texts
from halo_core.testing.data.named_files import check_files
from halo_core.testing.data.own_copies import own_copies
from halo_core.testing.data.readings import check_readings
from halo_core.testing.data.source_options import check_other_options
from halo_core.testing.data.source_rows import advise_rows, check_row
from halo_core.testing.processes.busy_machine import own_time
from halo_core.testing.processes.effects import caches
from halo_core.testing.stateless import does_only

INSPECT_S = 5.0
"""Seconds that `inspect` may take, if it is called twice; the faster call counts."""


def check_data_source(source: DataSource, *, rows: int = 1000) -> None:
    """Runs `check_component`, and the rules of files, rows, lines, digest, readings and options.

    It works on copies of the files that options name, so that these stay as they are.

    Args:
        source: A data source with its options. Its data must be available.
        rows: Maximum number of rows to read from each split, at least 1.

    Raises:
        AssertionError: At the first rule that is broken.
    """
    check_component(source)
    rules: dict[str, Callable[[DataSource], None]] = {
        "files": check_files,
        "rows": lambda each: check_rows(each, rows=rows),
        "lines": check_lines,
        "records": check_records,
        "texts": check_texts,
        "digest": check_digest,
        "readings": lambda each: check_readings(each, rows=rows),
        "other-options": check_other_options,
    }
    with own_copies(source) as copied:
        check_rules(copied.source, rules)


def check_rows(source: DataSource, *, rows: int = 1000) -> None:
    """Checks a source's description of itself, its rows, its counts of drops and its errors.

    Raises:
        AssertionError: When `inspect` is slow or not repeatable, when a split has no rows and no
            drops, or the rows of another one, when rows do not have the columns of their feedback,
            differ on the second reading or begin with the byte order mark of a file, when the
            sides of a pair are the same, when drops are not counts, when it writes a file outside
            of the caches, or when a split that does not exist does not raise a DataError.
    """
    info = _inspected(source)
    feedback = _checked_feedback(source, info)
    contents: dict[str, list[Mapping[str, Any]]] = {}
    for split in info.splits:  # The first reading imports libraries, which set what they need.
        with must_not_raise(source, f"load({split!r})"):
            next(iter(source.load(split).rows), None)
    with does_only(source, "inspect() or load()", inside=caches()):
        source.inspect()
        for split in info.splits:
            contents[split] = _check_split(source, split, feedback, rows)
    _check_unknown_split(source, info)
    _check_any_rows(source, contents)
    _check_splits_differ(source, contents)
    advise_rows(source, contents)
    _check_size(source, info)


def _inspected(source: DataSource) -> DataInfo:
    """Returns what a source says about itself, twice and in time."""
    took, said = [], []
    for _ in range(2):
        begun = own_time()
        with must_not_raise(source, "inspect()"):
            said.append(source.inspect())
        took.append(own_time() - begun)
    info, again = said
    expect(isinstance(info, DataInfo), source, f"inspect() returned {info!r}; expected a DataInfo")
    expect(info == again, source, f"inspect() gives {info}, then {again}")
    expect(
        min(took) <= INSPECT_S,
        source,
        f"inspect() took {min(took):.1f} s; expected less than {INSPECT_S:g} s, because `halo "
        "plan` calls it: read the rows in load()",
    )
    repeated = [split for split, count in Counter(info.splits).items() if count > 1]
    expect(not repeated, source, f"inspect() names the split {repeated[:1]} more than once")
    return info


def _checked_feedback(source: DataSource, info: DataInfo) -> Feedback:
    known = info.feedback is not None and len(info.splits) > 0
    expect(known, source, f"inspect() gives {info}; for this check its data must be available")
    expect(info.digest != "", source, "the digest is empty; expected one that names the content")
    for feedback in COLUMNS:
        if feedback == info.feedback:
            return feedback
    raise AssertionError(
        f"{source!r}: feedback is {info.feedback!r}; expected one of {', '.join(COLUMNS)}"
    )


def _check_split(
    source: DataSource, split: str, feedback: Feedback, limit: int
) -> list[Mapping[str, Any]]:
    with must_not_raise(source, f"load({split!r})"):
        loaded = source.load(split)
        rows: list[Mapping[str, Any]] = [dict(row) for row in itertools.islice(loaded.rows, limit)]
        again = [dict(row) for row in itertools.islice(source.load(split).rows, limit)]
    left_out = isinstance(loaded.dropped, Mapping) and any(loaded.dropped.values())
    expect(len(rows) > 0 or left_out, source, f"load({split!r}) has no rows, and counts none")
    # As texts, because a number that is NaN does not equal itself.
    expect(repr(rows) == repr(again), source, f"load({split!r}) gives other rows when called again")
    for number, row in enumerate(rows):
        check_row(source, f"row {number} of {split!r}", row, feedback)
    ids = Counter(row["id"] for row in rows if row.get("id"))
    twice = [id_ for id_, count in ids.items() if count > 1]
    expect(
        not twice,
        source,
        f"load({split!r}): {len(twice)} ids come more than once, such as {twice[:1]}; give each "
        "row its own id, or leave the ids out",
    )
    counted = {
        "dropped": (loaded.dropped, "a reason"),
        "ignored": (loaded.ignored, "the name of a column"),
    }
    for name, (counts, what) in counted.items():
        expect(
            isinstance(counts, Mapping),
            source,
            f"load({split!r}): {name} is {counts!r}; expected a mapping from {what} to a count",
        )
        for reason, count in counts.items():
            expect(
                isinstance(reason, str) and type(count) is int and count >= 0,
                source,
                f"load({split!r}): {name} has {reason!r}: {count!r}; expected {what} and a count",
            )
    return rows


def _check_splits_differ(
    source: DataSource, contents: Mapping[str, Sequence[Mapping[str, Any]]]
) -> None:
    """Checks that no split has only rows of another one, whatever their ids are."""
    told = {split: {_content(row) for row in rows} for split, rows in contents.items() if rows}
    for one, other in itertools.permutations(told, 2):
        expect(
            not told[one] <= told[other],
            source,
            f"all rows of the split {one!r} are in {other!r}, too; a model would be tested on what "
            "it has learned",
        )


def _check_any_rows(source: DataSource, contents: Mapping[str, Sequence[Any]]) -> None:
    """Checks that a split has rows. One of which all rows are dropped and counted may have none."""
    expect(
        any(contents.values()),
        source,
        f"no split has a row: all of {', '.join(contents)} are dropped; give it data or options "
        "with which rows are left",
    )


def _content(row: Mapping[str, Any]) -> str:
    return repr(sorted((name, value) for name, value in row.items() if name != "id"))


def _check_size(source: DataSource, info: DataInfo) -> None:
    for split in info.splits:
        with must_not_raise(source, f"about_rows({split!r})"):
            size: object = source.about_rows(split)
        expect(
            size is None or (type(size) is int and size >= 0),
            source,
            f"about_rows({split!r}) gives {size!r}; expected a number of rows, or None",
        )


def _check_unknown_split(source: DataSource, info: DataInfo) -> None:
    name = "no such split"
    try:
        list(source.load(name).rows)
    except DataError as error:
        expect(
            all(split in str(error) for split in info.splits),
            source,
            f"the error for an unknown split is {str(error)!r}; name the splits there are",
        )
        return
    except Exception as error:
        raise AssertionError(
            f"{source!r}: load({name!r}) raised {type(error).__name__}; expected a DataError"
        ) from error
    expect(False, source, f"load({name!r}) raised nothing; expected a DataError")
