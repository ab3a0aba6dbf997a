"""Makes Python search for unreachable objects less often while a tracker works."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

THRESHOLDS = (50_000, 20, 100)
"""Objects until the first search, and searches of a generation until one of the next. Python has
(700, 10, 10)."""


@contextmanager
def searched_rarely() -> Iterator[None]:
    """Lets a tracker make many objects without a search for unreachable ones after each few.

    The client library of a tracker makes thousands of objects for each batch of points, and has
    hundreds of thousands of its own. With Python's standard thresholds, a third of its processor
    time goes into searches that find nothing. Objects without references are freed at once in any
    case.
    """
    before = gc.get_threshold()
    gc.set_threshold(*THRESHOLDS)
    try:
        yield
    finally:
        gc.set_threshold(*before)
