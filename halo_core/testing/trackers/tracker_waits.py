"""Checks that a tracker does not wait in a call until a server answers or takes more."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from halo_core.testing.component import expect
from halo_core.testing.processes.kept_state import modules_of
from halo_core.tracker import Tracker

MOST_S = 3.0
"""Seconds that one call may sleep. A second try after a moment is shorter."""


@contextmanager
def never_sleeps(tracker: Tracker, doing: str) -> Iterator[None]:
    """Checks that a block sleeps for at most `MOST_S` in its own thread.

    Args:
        tracker: The tracker.
        doing: The call in the block, for the message.

    Raises:
        AssertionError: When it sleeps longer, also if it then raises an error.
    """
    mine, slept, sleep = threading.get_ident(), [0.0], time.sleep

    def noted(seconds: float) -> None:
        if threading.get_ident() == mine:
            slept[0] += seconds
        sleep(seconds)

    # Python 3.11 has no audit event for it.
    places = [(module, name) for module in (time, *modules_of(tracker)) for name in vars(module)]
    places = [(module, name) for module, name in places if getattr(module, name) is sleep]
    try:
        for module, name in places:
            setattr(module, name, noted)
        yield
    finally:
        for module, name in places:
            setattr(module, name, sleep)
        expect(
            slept[0] <= MOST_S,
            tracker,
            f"{doing} sleeps for {slept[0]:.2g} s; if it waits for a server, raise an error, and "
            "halo calls it again later with the same events",
        )


__all__ = ["never_sleeps"]
