"""Objects in reference cycles are freed before the next stage begins."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest

from halo_core.run import leftovers


class Model:
    """Something that holds itself."""

    def __init__(self) -> None:
        self.itself = self


@pytest.fixture
def no_other_searches() -> Iterator[None]:
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_other_searches")
def test_a_cycle_is_freed_only_when_the_process_has_worked_for_some_seconds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 100.0
    monkeypatch.setattr(leftovers, "_searched_at", now)
    monkeypatch.setattr(leftovers.time, "process_time", lambda: now)
    left = weakref.ref(Model())
    now += leftovers.EVERY_S - 1
    leftovers.free_leftovers()
    assert left() is not None
    now += 1
    leftovers.free_leftovers()
    assert left() is None
    left = weakref.ref(Model())
    leftovers.free_leftovers()
    assert left() is not None, "the time between two searches begins again"
