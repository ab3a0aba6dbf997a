"""The abilities of a tracker besides carrying events. Each is a method that is off by default."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest

from halo_core.errors import PluginError
from halo_core.tracker import Tracker, TrackerSession


class Plain(Tracker):
    """Carries events and nothing more."""

    def open(self, run: Path, workspace: Path) -> TrackerSession:
        raise NotImplementedError


def test_a_tracker_offers_nothing_that_it_does_not_override() -> None:
    plain, here = Plain(), Path("here")
    assert plain.has_run(here, here) is None
    assert plain.mark_deleted(here, here) is False
    assert plain.tell_suite(here, here, "done") is None
    assert plain.take_report(here, here, here) is False
    assert plain.compare_runs([here, here], here) is None


def test_a_session_needs_only_to_take_events() -> None:
    assert inspect.isabstract(TrackerSession)
    assert TrackerSession.__abstractmethods__ == {"handle"}


def test_a_tracker_of_an_earlier_version_is_refused_with_what_to_do() -> None:
    with pytest.raises(PluginError) as caught:

        class Keeps(Plain):
            def keeps_run(self, run: Path, workspace: Path) -> bool:
                return True

    assert caught.value.message == (
        "keeps_run() is called has_run() now: rename it, and return None if it cannot be known"
    )
    assert str(caught.value).startswith(f"{__name__}.")
