"""Reads a conversion around `MixedRows`."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from halo_core.data import DataSource, Loaded
from halo_core.feedback import Feedback
from halo_core.testing.component import must_not_raise
from halo_core.testing.data.mixed_rows import SPLITS, MixedRows, mixed_rows

Row = Mapping[str, Any]
Make = Callable[[DataSource], DataSource]
"""Returns a conversion around a source."""


@dataclass(frozen=True)
class Reading:
    """The rows that a conversion got, and what it made of them.

    Attributes:
        source: The conversion.
        given: The wrapped rows by split, as they were before.
        made: Its rows by split.
        loaded: The results of its `load` by split, whose rows are all read.
        changed: Whether it changed the rows that it got.
    """

    source: DataSource
    given: Mapping[str, Sequence[Row]]
    made: Mapping[str, Sequence[Row]]
    loaded: Mapping[str, Loaded]
    changed: bool


def read_mixed(make: Make, feedback: Feedback, reasons: Sequence[str] = ()) -> Reading:
    """Reads all rows of a conversion around `MixedRows`.

    Args:
        make: Returns the conversion.
        feedback: The kind of the wrapped rows.
        reasons: Further reasons for which the wrapped source drops rows.

    Raises:
        AssertionError: When reading raises an error that is not one of the user.
        UserError: When the conversion refuses these rows.
    """
    mixed_rows.cache_clear()  # Another rule may have let the conversion change the rows.
    before = {split: copy.deepcopy(mixed_rows(feedback, split)) for split in SPLITS}
    try:
        source = make(MixedRows(feedback=feedback, reasons=tuple(reasons)))
        with must_not_raise(source, "reading rows with shared prompts, and rows without an id"):
            loaded = {split: source.load(split) for split in source.inspect().splits}
            made = {split: [dict(row) for row in each.rows] for split, each in loaded.items()}
        changed = any(repr(mixed_rows(feedback, s)) != repr(before[s]) for s in SPLITS)
    finally:
        mixed_rows.cache_clear()  # The next caller gets the rows as they were.
    return Reading(source, before, made, loaded, changed)


__all__ = ["Reading", "read_mixed"]
