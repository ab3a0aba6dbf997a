"""Garbage is collected less often while many objects are made, and as before afterwards."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest

from halo_core.garbage import THRESHOLDS, few_collections


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """Gives each test Python's own thresholds, which the tests' process does not have."""
    of_tests, enabled = gc.get_threshold(), gc.isenabled()
    gc.set_threshold(700, 10, 10)
    yield
    left = gc.get_threshold(), gc.isenabled()
    gc.set_threshold(*of_tests)
    assert left == ((700, 10, 10), enabled)


class Ring:
    """An object that only the garbage collection frees."""

    def __init__(self) -> None:
        self.own = self


def collections(count: int) -> int:
    """Makes objects, and returns the number of collections meanwhile."""
    before = sum(each["collections"] for each in gc.get_stats())
    kept = [[] for _ in range(count)]  # type: ignore[var-annotated]
    del kept
    return sum(each["collections"] for each in gc.get_stats()) - before


def test_fewer_collections_while_objects_are_made() -> None:
    often = collections(THRESHOLDS[0] // 2)
    with few_collections():
        seldom = collections(THRESHOLDS[0] // 2)
    assert seldom <= 1 < 20 < often


def test_garbage_is_still_freed() -> None:
    with few_collections():
        first = weakref.ref(Ring())
        collections(2 * THRESHOLDS[0])
        assert first() is None


def test_python_does_not_go_through_all_objects() -> None:
    before = gc.get_stats()[2]["collections"]
    with few_collections():
        kept = [[[]] for _ in range(10 * THRESHOLDS[0])]  # type: ignore[var-annotated]
    assert gc.get_stats()[2]["collections"] == before
    assert len(kept) == 10 * THRESHOLDS[0]


def test_an_inner_call_and_an_error_leave_all_as_it_was() -> None:
    with few_collections():
        inside = gc.get_threshold()
        assert inside == THRESHOLDS
        with few_collections():
            assert gc.get_threshold() == inside
        assert gc.get_threshold() == inside
    with pytest.raises(KeyError), few_collections():
        raise KeyError


def test_higher_thresholds_stay() -> None:
    before = gc.get_threshold()
    gc.set_threshold(100_000, 5, 5)
    try:
        with few_collections():
            assert gc.get_threshold() == (100_000, 20, 100)
    finally:
        gc.set_threshold(*before)
