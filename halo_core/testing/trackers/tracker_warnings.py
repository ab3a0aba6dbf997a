"""Checks that a tracker does not take equal warnings of two stages for one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from halo_core.events import Event, EventLog
from halo_core.testing.component import expect
from halo_core.testing.trackers.tracker_events import write
from halo_core.testing.trackers.tracker_files import Written
from halo_core.tracker import Tracker
from halo_core.workspace.records import EVENTS

SAME, OTHER = "3 rows were left out", "7 prompts were cut"
"""Two messages of warnings."""


def check_warnings(
    tracker: Tracker, run: Path, events: Sequence[Event], written: Callable[[], Written]
) -> None:
    """Sends a run whose stages have the same warning, two different ones, or one only.

    A tracker may write no warnings, or the last one only. So it must tell two equal warnings from
    one only if it writes both of two different ones.

    Args:
        tracker: The tracker.
        run: A run with two stages, whose events are replaced. At the end, they are as before.
        events: Its events.
        written: Returns the files that the tracker writes for the events.

    Raises:
        AssertionError: When the files are the same without one of two equal warnings.
    """
    first, second = dict.fromkeys(e["stage"] for e in events if e["type"] == "stage-ended")

    def told(warnings: Mapping[str, str]) -> Written:
        _write(run, events, warnings)
        return written()

    try:
        only_first, only_second = told({first: SAME}), told({second: SAME})
        different = told({first: SAME, second: OTHER})
        if different in (only_first, told({second: OTHER})):
            return
        both = told({first: SAME, second: SAME})
    finally:
        _write(run, events, {})
    lost = [name for name, one in ((second, only_first), (first, only_second)) if both == one]
    expect(
        not lost,
        tracker,
        f"handle() writes the same without the warning {SAME!r} of the stage {lost[:1]}, if the "
        "other stage has a warning with the same words, and it writes both if the words differ. "
        "They are two warnings: keep them apart by `stage`",
    )


def _write(run: Path, events: Sequence[Event], warnings: Mapping[str, str]) -> None:
    """Replaces the events of a run by the same ones with a warning at the end of some stages."""
    (run / EVENTS.name).unlink()
    log = EventLog(run / EVENTS.name)
    for event in events:
        stage = event["stage"] if event["type"] == "stage-ended" else ""
        if stage in warnings:
            log.append("warning", stage=stage, message=warnings[stage], time=event["time"])
        write(log, event, {})


__all__ = ["check_warnings"]
