"""A tracker's process searches rarely for unreachable objects, and others as before."""

from __future__ import annotations

import gc

import pytest

from halo_core.tracking.garbage import THRESHOLDS, searched_rarely


def test_searches_are_rare_within_and_as_before_afterwards_also_after_an_error() -> None:
    before = gc.get_threshold()
    with searched_rarely():
        assert gc.get_threshold() == THRESHOLDS != before
    assert gc.get_threshold() == before
    with pytest.raises(ZeroDivisionError), searched_rarely():
        raise ZeroDivisionError
    assert gc.get_threshold() == before
