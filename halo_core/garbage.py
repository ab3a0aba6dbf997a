"""Fewer and shorter garbage collections while very many objects are made."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

THRESHOLDS = (50_000, 20, 100)
"""Number of new objects after which Python collects garbage among the newest ones, number of such
collections after which it goes through those that survived one, and number of the latter after
which it goes through all objects. Python has (700, 10, 10)."""


@contextmanager
def few_collections() -> Iterator[None]:
    """Makes Python collect garbage less often, and go through all objects hardly ever.

    A process that has imported torch has more than half a million objects. Python goes through all
    of them whenever a quarter as many new ones were made, which was a sixth of the time of a row
    and a third of that of a point for a tracker. Objects without cycles are freed at once in any
    case, so this takes little memory.

    The thresholds are as before afterwards. Thresholds that are higher already stay so.
    """
    before = gc.get_threshold()
    gc.set_threshold(*map(max, THRESHOLDS, before))
    try:
        yield
    finally:
        gc.set_threshold(*before)
