"""Hands the report of a suite to the trackers of its runs, those that take one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from halo_core.blame import blaming, plugin_error
from halo_core.recorded_trackers import first_tracked, usable_trackers
from halo_core.redact import one_line
from halo_core.tracker import Tracker
from halo_core.workspace.layout import Target
from halo_core.workspace.records import SUITE


def hand_over(report: Path, suite: Target) -> list[dict[str, Any]]:
    """Returns what came of it: for each tracker ``use``, ``status`` and ``why``.

    The files stay where they are; a tracker that is broken or out of reach costs nothing else.

    Args:
        report: The folder of the files.
        suite: The suite.
    """
    told: list[dict[str, Any]] = []

    def failed(name: str, error: BaseException) -> None:
        told.append({"use": name, "status": "failed", "why": one_line(error)})

    record = SUITE.read(suite.folder)
    runs = [cell["run"] for cell in record["cells"]] if record else []
    tracked = first_tracked(suite.workspace / run for run in runs if run)
    for name, tracker in (usable_trackers(tracked, failed) if tracked else {}).items():
        try:
            if _took(tracker, report, suite):
                told.append({"use": name, "status": "sent", "why": None})
        except (Exception, SystemExit) as error:
            failed(name, error)
    return told


def _took(tracker: Tracker, report: Path, suite: Target) -> bool:
    with blaming(tracker, "take_report"):
        taken: object = tracker.take_report(report, suite.folder, suite.workspace)
    if not isinstance(taken, bool):
        raise plugin_error(tracker, "take_report", f"returned {taken!r}; expected True or False")
    return taken
