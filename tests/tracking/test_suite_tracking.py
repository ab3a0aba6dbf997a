"""Trackers receive the state of a suite; whatever they do, the suite continues."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from pydantic import PrivateAttr

from halo_core.tracker import Tracker, TrackerSession
from halo_core.tracking.suite_tracking import SuiteTracking


class Silent(Tracker):
    """Shows runs only."""

    def open(self, run: Path, workspace: Path) -> TrackerSession:
        raise NotImplementedError


class Teller(Silent):
    """Records the states; `before` may raise or hang first."""

    _before: Callable[[], object] = PrivateAttr()
    _told: list[str] = PrivateAttr(default_factory=list)

    def __init__(self, before: Callable[[], object] = lambda: None) -> None:
        super().__init__()
        self._before = before

    @property
    def told(self) -> list[str]:
        return self._told

    def tell_suite(self, suite: Path, workspace: Path, status: Any) -> Mapping[str, object]:
        self._before()
        self.told.append(status)
        return {"label": "Board", "url": f"http://board/{workspace.name}/{suite.name}"}


def track(tmp_path: Path, trackers: Mapping[str, Tracker], warnings: list[str]) -> SuiteTracking:
    return SuiteTracking(trackers, tmp_path / "suite", tmp_path, warnings.append)


def test_the_end_is_told_last_and_once(tmp_path: Path) -> None:
    teller, warnings = Teller(), []
    tracking = track(tmp_path, {"t": teller}, warnings)
    tracking.tell()
    tracking.close("failed")
    assert teller.told[-1] == "failed"
    assert teller.told.count("failed") == 1
    url = f"http://board/{tmp_path.name}/suite"
    assert tracking.told == {"t": {"label": "Board", "url": url}}
    assert warnings == []


def test_a_tracker_that_knows_nothing_of_suites_is_left_out(tmp_path: Path) -> None:
    warnings: list[str] = []
    tracking = track(tmp_path, {"t": Silent()}, warnings)
    tracking.tell()
    tracking.close("done")
    assert tracking.told == {}
    assert warnings == []


@pytest.mark.slow
def test_a_broken_tracker_leaves_the_others_alone_and_is_tried_again_at_the_end(
    tmp_path: Path,
) -> None:
    def fail() -> None:
        calls.append(1)
        raise ConnectionError("no answer from http://ann:sesame@host")

    calls: list[int] = []
    good, warnings = Teller(), []
    tracking = track(tmp_path, {"bad": Teller(fail), "good": good}, warnings)
    tracking.close("done")
    assert good.told == ["done"]
    assert len(calls) == 3
    first, last = warnings
    assert first.startswith(f"bad: PluginError: {__file__}:")
    assert first.endswith(
        ": Teller.tell_suite() raised ConnectionError: no answer from http://***@host; "
        "the suite continues without it"
    )
    assert last == "bad: it does not know how the suite ended; run the same command to report again"


def test_a_tracker_that_hangs_does_not_hold_the_suite(tmp_path: Path) -> None:
    free = threading.Event()
    warnings: list[str] = []
    tracking = track(tmp_path, {"slow": Teller(free.wait)}, warnings)
    tracking.tell()
    tracking.close("done", deadline_s=0.1)
    free.set()
    assert warnings == ["a tracker does not answer; it shows an old state of the suite"]
