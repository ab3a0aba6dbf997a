"""Garbage is collected less often while many objects are made, and as before afterwards."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest

from halo_core.garbage import NEW_OBJECTS, few_collections


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    frozen = gc.get_freeze_count()
    gc.unfreeze()
    before = gc.get_threshold(), gc.isenabled()
    yield
    assert (gc.get_threshold(), gc.isenabled(), gc.get_freeze_count()) == (*before, 0)
    if frozen:
        gc.freeze()


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
    often = collections(NEW_OBJECTS // 2)
    with few_collections():
        seldom = collections(NEW_OBJECTS // 2)
    assert seldom <= 1 < 20 < often


def test_garbage_is_still_freed() -> None:
    with few_collections():
        first = weakref.ref(Ring())
        collections(2 * NEW_OBJECTS)
        assert first() is None


def test_old_objects_are_left_out_and_come_back() -> None:
    old = weakref.ref(Ring())
    with few_collections():
        gc.collect()
        assert old() is not None
    gc.collect()
    assert old() is None


def test_an_inner_call_and_an_error_leave_all_as_it_was() -> None:
    with few_collections():
        inside = gc.get_threshold()
        with few_collections():
            assert gc.get_threshold() == inside
        assert gc.get_threshold() == inside
        assert gc.get_freeze_count()
    with pytest.raises(KeyError), few_collections():
        raise KeyError


def test_a_process_without_collections_stays_so() -> None:
    gc.disable()
    try:  # As in a program that collects by itself.
        with few_collections():
            assert not gc.get_freeze_count()
    finally:
        gc.enable()


def test_objects_that_were_left_out_before_stay_so() -> None:
    gc.freeze()
    try:
        before = gc.get_freeze_count()
        with few_collections():
            pass
        assert gc.get_freeze_count() == before
    finally:
        gc.unfreeze()
